"""The axes of the model grid along those of the source grid: number of voxels, spacing, and coordinates.

With the alignment ``first_voxel`` (MONAI's ``Spacing``), the first voxel centres coincide. With ``edges`` (``resize``
of scikit-image, nnU-Net), the outer edges of the first and last voxels coincide, with ``end_voxels`` (``zoom`` of
SciPy, TotalSegmentator) the centres of the first and last voxels: coordinates depend only on the numbers of voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import highdicom as hd
import numpy as np

from clickseg.core.arrays import FloatArray

Alignment = Literal["first_voxel", "edges", "end_voxels"]

_SPACING_NOISE = 2e-6
"""The relative error of a spacing that is computed from direction cosines with 6 decimals."""


@dataclass(frozen=True, slots=True)
class GridAxis:
    """One axis of a grid.

    Attributes:
        count: The number of voxels.
        spacing_mm: The distance of their centres.
    """

    count: int
    spacing_mm: float


def grid_axes(geometry: hd.VolumeGeometry) -> tuple[GridAxis, GridAxis, GridAxis]:
    """Returns the three axes of a grid."""
    i, j, k = map(GridAxis, geometry.spatial_shape, geometry.spacing)
    return i, j, k


def model_axis(source: GridAxis, wanted_mm: float, alignment: Alignment) -> GridAxis:
    """Returns the axis of the model grid that covers an axis of the source grid.

    Args:
        source: The axis of the source grid.
        wanted_mm: The spacing of the model.
        alignment: What coincides.

    Returns:
        The axis; with ``edges`` and ``end_voxels`` its spacing follows from the extent and the number of voxels.
    """
    if alignment == "first_voxel":
        return GridAxis(int(np.round((source.count - 1) * source.spacing_mm / wanted_mm + 1)), wanted_mm)
    count = max(_round_half_to_even(source.spacing_mm / wanted_mm * source.count), 1)
    if alignment == "edges":
        return GridAxis(count, source.count * source.spacing_mm / count)
    has_extent = source.count > 1 and count > 1
    return GridAxis(count, (source.count - 1) * source.spacing_mm / (count - 1) if has_extent else wanted_mm)


def axis_coordinates(axis: GridAxis, other: GridAxis, alignment: Alignment) -> FloatArray:
    """Returns the coordinates of the voxel centres of one axis as indices of another axis.

    Args:
        axis: The axis whose voxels are located.
        other: An axis of the same direction, for ``edges`` and ``end_voxels`` of the same extent.
        alignment: What coincides.
    """
    if alignment == "first_voxel":
        return np.arange(axis.count) * float(axis.spacing_mm / other.spacing_mm)
    if alignment == "end_voxels":
        return np.arange(axis.count) * ((other.count - 1) / max(axis.count - 1, 1))
    return (np.arange(axis.count) + 0.5) * (other.count / axis.count) - 0.5


def separate_axis(above: float | None, *spacings_mm: Sequence[float]) -> int | None:
    """Returns the axis along which the nearest slice is taken, because the slices of a grid are thick; None if none is.

    Args:
        above: The ratio of the largest and the smallest spacing above which slices are thick; None for never.
        spacings_mm: The spacings of grids. The first grid with a larger ratio decides; if two of its axes have the
            largest spacing, it has no slices.
    """
    for spacing_mm in spacings_mm:
        largest = max(spacing_mm)
        if above is not None and largest / min(spacing_mm) > above * (1 + _SPACING_NOISE):
            coarse = [axis for axis, length in enumerate(spacing_mm) if length >= largest * (1 - _SPACING_NOISE)]
            return coarse[0] if len(coarse) == 1 else None
    return None


def _round_half_to_even(value: float) -> int:
    """Rounds as Python does, also if the rounding error of a spacing moves a half up or down."""
    half = math.floor(value) + 0.5
    return round(half if abs(value - half) < _SPACING_NOISE * value else value)
