"""Reorients the axes of a grid to an anatomical orientation, and back, by permutations and flips only.

The nearest orientation of an oblique grid is ambiguous. Axes are assigned to directions as in nibabel, and therefore
in MONAI's ``Orientation``: the axis that is closest to any direction is assigned first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.core.arrays import Box

_DIRECTIONS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""By letter: the number of the patient axis in LPS, and the sign along this axis."""

Grid = TypeVar("Grid", hd.Volume, hd.VolumeGeometry)


@dataclass(frozen=True, slots=True)
class Reorientation:
    """A permutation of axes, followed by flips.

    Attributes:
        permutation: For each axis of the result the original axis.
        flipped: The axes of the result that are reversed.
    """

    permutation: tuple[int, int, int]
    flipped: tuple[int, ...]

    def apply(self, grid: Grid) -> Grid:
        """Returns the reoriented grid or volume."""
        permuted = grid.permute_spatial_axes(self.permutation)
        return permuted.flip_spatial(self.flipped) if self.flipped else permuted

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """Returns a reoriented view of an array; axes after the third are unchanged."""
        return np.flip(array.transpose(*self.permutation, *range(3, array.ndim)), self.flipped)

    def source_box(self, box: Box, shape: tuple[int, ...]) -> Box:
        """Converts a box of the reoriented grid to the same box of the original grid.

        Args:
            box: The box of the reoriented grid.
            shape: The shape of the original grid; axes after the third are ignored.
        """
        source = list(box)
        for number, (axis, part) in enumerate(zip(self.permutation, box, strict=True)):
            count = shape[axis]
            source[axis] = slice(count - part.stop, count - part.start) if number in self.flipped else part
        return source[0], source[1], source[2]


def reorientation_to(geometry: hd.VolumeGeometry | hd.Volume, orientation: str) -> Reorientation:
    """Returns the reorientation that brings the axes of a grid closest to an orientation.

    Args:
        geometry: The grid, in LPS mm.
        orientation: The required directions of the three axes, such as ``RAS``.
    """
    direction = np.array(geometry.direction, dtype=np.float64)
    axis_of = _assign_axes(direction)
    directions = [_DIRECTIONS[letter] for letter in orientation]
    first, second, third = (axis_of[row] for row, _ in directions)
    flipped = tuple(
        number for number, (row, sign) in enumerate(directions) if np.sign(direction[row, axis_of[row]]) != sign
    )
    return Reorientation((first, second, third), flipped)


def stored_orientation(geometry: hd.VolumeGeometry | hd.Volume) -> str:
    """Returns the orientation of the axes as ITK stores them: columns, rows, and slices along their normal.

    Args:
        geometry: The grid [K, J, I] of a series; highdicom stacks slices against their normal.
    """
    direction = np.array(geometry.direction, dtype=np.float64)
    row_of = {axis: row for row, axis in _assign_axes(direction).items()}
    letters = {value: letter for letter, value in _DIRECTIONS.items()}
    signs = {axis: int(np.sign(direction[row_of[axis], axis])) for axis in range(3)}
    signs[0] = -signs[0]
    return "".join(letters[row_of[axis], signs[axis]] for axis in (2, 1, 0))


def _assign_axes(direction: NDArray[np.float64]) -> dict[int, int]:
    """Returns the grid axis (column) that is assigned to each patient direction (row)."""
    unassigned = np.abs(direction)
    axis_of: dict[int, int] = {}
    for axis in np.argsort(-(direction**2).max(axis=0), kind="stable"):
        row = int(unassigned[:, axis].argmax())
        axis_of[row] = int(axis)
        unassigned[row] = 0
    return axis_of
