"""Between the source grid and the model grid: flips and permutations of axes, and linear interpolation along each.

The model grid shares the axes and the first voxel centre of the source (as MONAI's ``Orientation`` and ``Spacing``), so
that nothing is ever rotated and interpolation is done along one axis at a time. Coordinates are absolute indices: a
part of a result is the same, to the bit, whether it is computed alone or as part of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import highdicom as hd
import numpy as np

from clickseg.arrays import Doubles, Values
from clickseg.errors import ModelError
from clickseg.inference.orientation import turn_to
from clickseg.itk import to_sitk
from clickseg.models.spec import GridSpec

MAX_VOXELS = 1 << 31
"""The largest model grid that is allocated."""


def model_geometry(source: hd.VolumeGeometry, grid: GridSpec) -> hd.VolumeGeometry:
    """Returns the model grid [I, J, K] that covers a source grid.

    Args:
        source: The source grid, in LPS mm.
        grid: The spacing and orientation that the model wants.

    Returns:
        A grid with the source's axes, flipped and permuted; its first voxel centre is the source's, and its shape the
        one that MONAI's ``Spacing`` gives.

    Raises:
        ModelError: The model's voxels are so small that the grid would not fit into any memory.
    """
    oriented = turn_to(source, grid.orientation).apply(source)
    shape = [
        int(np.round((count - 1) * spacing / wanted + 1))
        for count, spacing, wanted in zip(oriented.spatial_shape, oriented.spacing, grid.spacing_mm, strict=True)
    ]
    if math.prod(shape) > MAX_VOXELS:
        raise ModelError(
            f"a model grid of {' x '.join(str(count) for count in shape)} voxels of {grid.spacing_mm} mm: expected at "
            f"most {MAX_VOXELS} voxels"
        )
    return hd.VolumeGeometry.from_components(
        shape,
        spacing=grid.spacing_mm,
        position=oriented.position,
        direction=oriented.direction.tolist(),
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.frame_of_reference_uid,
    )


def to_model_grid(volume: hd.Volume, grid: GridSpec) -> hd.Volume:
    """Returns a volume on the model grid, float32 [I, J, K]."""
    geometry = model_geometry(volume.get_geometry(), grid)
    oriented = turn_to(volume, grid.orientation).apply(volume)
    array: Values = oriented.array
    for axis in range(3):
        coordinates = np.arange(geometry.spatial_shape[axis]) * float(geometry.spacing[axis] / oriented.spacing[axis])
        array = interpolate(array, axis, coordinates)
    return hd.Volume(
        array=np.ascontiguousarray(array),
        affine=geometry.affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=volume.frame_of_reference_uid,
    )


def to_geometry(volume: hd.Volume, geometry: hd.VolumeGeometry) -> Values:
    """Returns a volume on another grid of the same frame of reference: linear, its minimum outside."""
    import SimpleITK

    moved = SimpleITK.Resample(
        to_sitk(volume),
        to_sitk(hd.Volume(np.zeros(geometry.spatial_shape, np.uint8), geometry.affine, "PATIENT")),
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        float(volume.array.min()),
        SimpleITK.sitkFloat32,
    )
    array: Values = SimpleITK.GetArrayFromImage(moved)
    return array


def source_coordinates(source: hd.VolumeGeometry, model: hd.VolumeGeometry, grid: GridSpec) -> tuple[Doubles, ...]:
    """Returns, for each axis of the oriented source grid, the model index of each of its voxel centres."""
    oriented = turn_to(source, grid.orientation).apply(source)
    return tuple(
        np.arange(count) * float(spacing / wanted)
        for count, spacing, wanted in zip(oriented.spatial_shape, oriented.spacing, model.spacing, strict=True)
    )


def interpolate(array: Values, axis: int, coordinates: Doubles) -> Values:
    """Interpolates linearly along one axis; beyond the ends the outermost value counts.

    Args:
        array: Values of any shape.
        axis: The axis.
        coordinates: Where to interpolate, as indices of that axis.

    Returns:
        The values, with ``len(coordinates)`` entries along the axis.
    """
    count = array.shape[axis]
    if np.array_equal(coordinates, np.arange(count)):
        return array
    inside = np.clip(coordinates, 0, count - 1)
    lower = np.minimum(inside.astype(np.intp), max(count - 2, 0))
    upper = np.minimum(lower + 1, count - 1)
    weight = (inside - lower).astype(np.float32).reshape(_column(array.ndim, axis))
    below = array.take(lower, axis)
    below *= 1 - weight
    above = array.take(upper, axis)
    above *= weight
    below += above
    return below


def _column(ndim: int, axis: int) -> Sequence[int]:
    return [-1 if index == axis else 1 for index in range(ndim)]
