"""Turning the axes of a grid to an anatomical orientation, and back: permutations and flips only.

An oblique grid has no one nearest orientation; which axis is taken for which direction is decided as nibabel, and so
MONAI's ``Orientation``, decides it: the axis that is closest to any direction comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.core.arrays import Box

_DIRECTIONS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""For each letter the axis of the patient (LPS) and the sign along it."""

Grid = TypeVar("Grid", hd.Volume, hd.VolumeGeometry)


@dataclass(frozen=True, slots=True)
class Reorientation:
    """A permutation of axes, then flips.

    Attributes:
        permutation: For each axis of the result the axis that it was.
        flipped: The axes of the result that are reversed.
    """

    permutation: tuple[int, int, int]
    flipped: tuple[int, ...]

    def apply(self, grid: Grid) -> Grid:
        """Returns a grid or a volume with its axes turned."""
        turned = grid.permute_spatial_axes(self.permutation)
        return turned.flip_spatial(self.flipped) if self.flipped else turned

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """Returns an array with its axes turned, which shares its memory; axes after the third stay."""
        return np.flip(array.transpose(*self.permutation, *range(3, array.ndim)), self.flipped)

    def source_box(self, box: Box, shape: tuple[int, ...]) -> Box:
        """Returns a box of a turned grid as a box of the grid as it was.

        Args:
            box: The box.
            shape: The grid as it was; axes after the third do not matter.
        """
        back = list(box)
        for number, (axis, part) in enumerate(zip(self.permutation, box, strict=True)):
            count = shape[axis]
            back[axis] = slice(count - part.stop, count - part.start) if number in self.flipped else part
        return back[0], back[1], back[2]


def turn_to(geometry: hd.VolumeGeometry | hd.Volume, orientation: str) -> Reorientation:
    """Returns the turn that brings the axes of a grid closest to an orientation.

    Args:
        geometry: The grid, in LPS mm.
        orientation: The directions in which the three axes shall run, such as ``RAS``.
    """
    direction = np.array(geometry.direction, dtype=np.float64)
    axis_of = _assign_axes(direction)
    wanted = [_DIRECTIONS[letter] for letter in orientation]
    first, second, third = (axis_of[row] for row, _ in wanted)
    flipped = tuple(
        number for number, (row, sign) in enumerate(wanted) if np.sign(direction[row, axis_of[row]]) != sign
    )
    return Reorientation((first, second, third), flipped)


def _assign_axes(direction: NDArray[np.float64]) -> dict[int, int]:
    """Returns, for each direction of the patient (row), the axis (column) that is taken for it."""
    left = np.abs(direction)
    axis_of: dict[int, int] = {}
    for axis in np.argsort(-(direction**2).max(axis=0), kind="stable"):
        row = int(left[:, axis].argmax())
        axis_of[row] = int(axis)
        left[row] = 0
    return axis_of
