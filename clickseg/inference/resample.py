"""Resamples from the source grid to the model grid: permutes and flips axes, and interpolates linearly along each.

The model grid shares the axes of the source, and its first voxel centre, edges or end voxels (``alignment``). Therefore
nothing is rotated, and interpolation is done along one axis at a time. Coordinates are absolute indices: a part of a
result has the same bytes whether it is computed alone or with the entire volume.
"""

from __future__ import annotations

import math

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Float32Array, FloatArray
from clickseg.core.device import HOST, Device
from clickseg.core.errors import ModelError
from clickseg.core.sitk import to_sitk
from clickseg.inference.alignment import axis_coordinates, grid_axes, model_axis, separate_axis
from clickseg.inference.linear import LinearWeights, interpolate
from clickseg.inference.orientation import reorientation_to, stored_orientation
from clickseg.models.spec import GridSpec

MAX_GRID_VOXELS = 1 << 31
"""The largest model grid that is accepted, in voxels."""

_SAME_VOXEL = 1e-3
"""Coordinates on two grids that differ by less, in voxels, are the same."""


def model_geometry(source: hd.VolumeGeometry, grid: GridSpec) -> hd.VolumeGeometry:
    """Returns the model grid [I, J, K] that covers a source grid.

    Args:
        source: The source grid, in LPS mm.
        grid: The spacing and orientation of the model.

    Returns:
        A grid with the source's axes, flipped and permuted. Its shape, spacing and first voxel centre are those of
        MONAI's ``Spacing``; with the alignment ``edges`` those of nnU-Net, with ``end_voxels`` of SciPy's ``zoom``.

    Raises:
        ModelError: The grid has more than ``MAX_GRID_VOXELS`` voxels, because the model's voxels are very small.
    """
    oriented = reorientation_to(source, grid.orientation).apply(source)
    source_axes = grid_axes(oriented)
    axes = [
        model_axis(axis, wanted_mm, grid.alignment)
        for axis, wanted_mm in zip(source_axes, grid.resolved_spacing_mm, strict=True)
    ]
    shape = [axis.count for axis in axes]
    if math.prod(shape) > MAX_GRID_VOXELS:
        raise ModelError(
            f"the model grid has {' x '.join(str(count) for count in shape)} voxels of {grid.spacing_mm} mm: expected "
            f"at most {MAX_GRID_VOXELS} voxels"
        )
    first = [
        axis_coordinates(axis, source_axis, grid.alignment)[0]
        for axis, source_axis in zip(axes, source_axes, strict=True)
    ]
    return hd.VolumeGeometry.from_components(
        shape,
        spacing=[axis.spacing_mm for axis in axes],
        position=oriented.map_indices_to_reference(np.array([first]))[0].tolist() if any(first) else oriented.position,
        direction=oriented.direction.tolist(),
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.frame_of_reference_uid,
    )


def resolve_grid(grid: GridSpec, source: hd.VolumeGeometry) -> GridSpec:
    """Returns a grid with the spacing and orientation that it takes from a series.

    Args:
        grid: The grid of a model.
        source: The grid of the series [K, J, I], in LPS mm.
    """
    if not grid.depends_on_source:
        return grid
    orientation = stored_orientation(source) if grid.orientation == "source" else grid.orientation
    own_mm = reorientation_to(source, orientation).apply(source).spacing
    lowest, highest = grid.spacing_tolerance or (1.0, 1.0)
    spacing_mm = [
        float(own) if wanted == "source" or lowest * wanted <= own <= highest * wanted else wanted
        for wanted, own in zip(grid.spacing_mm, own_mm, strict=True)
    ]
    changes = {"orientation": orientation, "spacing_mm": tuple(spacing_mm), "spacing_tolerance": None}
    return grid.model_copy(update=changes)


def image_separate_axis(source: hd.VolumeGeometry, grid: GridSpec) -> int | None:
    """Returns the axis of the model grid along which an image is resampled separately: see ``separate_axis``."""
    own_mm = reorientation_to(source, grid.orientation).apply(source).spacing
    return separate_axis(grid.separate_axis_above, own_mm, grid.resolved_spacing_mm)


def labels_separate_axis(source: hd.VolumeGeometry, grid: GridSpec) -> int | None:
    """Returns the axis along which logits are resampled separately: as in nnU-Net, the model grid decides first."""
    own_mm = reorientation_to(source, grid.orientation).apply(source).spacing
    return separate_axis(grid.separate_axis_above, grid.resolved_spacing_mm, own_mm)


def source_coordinates(source: hd.VolumeGeometry, model: hd.VolumeGeometry, grid: GridSpec) -> tuple[FloatArray, ...]:
    """Returns, for each axis of the oriented source grid, the coordinates of its voxel centres as model indices."""
    oriented = reorientation_to(source, grid.orientation).apply(source)
    return tuple(
        axis_coordinates(axis, model_axis, grid.alignment)
        for axis, model_axis in zip(grid_axes(oriented), grid_axes(model), strict=True)
    )


def model_coordinates(source: hd.VolumeGeometry, model: hd.VolumeGeometry, grid: GridSpec) -> tuple[FloatArray, ...]:
    """Returns, for each axis of the model grid, the coordinates of its voxel centres as indices of the source.

    Args:
        source: The source grid.
        model: The model grid that covers it.
        grid: The orientation and alignment of the model grid.
    """
    oriented = reorientation_to(source, grid.orientation).apply(source)
    return tuple(
        axis_coordinates(axis, source_axis, grid.alignment)
        for axis, source_axis in zip(grid_axes(model), grid_axes(oriented), strict=True)
    )


class ResampledImage:
    """A volume on the model grid, interpolated linearly; only the planes that are read are resampled.

    Attributes:
        shape: The shape of the model grid [I, J, K].
    """

    def __init__(self, volume: hd.Volume, grid: GridSpec, device: Device = HOST) -> None:
        source = volume.get_geometry()
        geometry = model_geometry(source, grid)
        i, j, k = (int(count) for count in geometry.spatial_shape)
        self.shape = (i, j, k)
        self._volume, self._grid, self._device = volume, grid, device
        self._array: Float32Array = reorientation_to(volume, grid.orientation).view(device.put(volume.array))
        coordinates, separate = model_coordinates(source, geometry, grid), image_separate_axis(source, grid)
        self._axis_weights = [
            (LinearWeights.at_nearest if axis == separate else LinearWeights.at_coordinates)(points, count)
            for axis, (points, count) in enumerate(zip(coordinates, self._array.shape, strict=True))
        ]

    def to_device(self, device: Device) -> ResampledImage:
        """Returns the same volume on a device."""
        return ResampledImage(self._volume, self._grid, device)

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a box, float32 [I, J, K]; a voxel has the same value in every box."""
        selected = [weights.select(part, 0) for weights, part in zip(self._axis_weights, box, strict=True)]
        origin = [int(weights.lower[0]) for weights in selected]
        stop = [int(weights.upper[-1]) + 1 for weights in selected]
        array = self._array[tuple(slice(first, end) for first, end in zip(origin, stop, strict=True))]
        for axis, (first, weights) in enumerate(zip(origin, selected, strict=True)):
            array = interpolate(array, axis, weights.select(slice(None), first), self._device)
        return array


def resample_to_geometry(volume: hd.Volume, geometry: hd.VolumeGeometry) -> Float32Array:
    """Resamples a volume linearly to another grid of the same frame of reference.

    Voxels outside the volume have its lowest value.
    """
    import SimpleITK

    resampled = SimpleITK.Resample(
        to_sitk(volume),
        to_sitk(hd.Volume(np.zeros(geometry.spatial_shape, np.uint8), geometry.affine, "PATIENT")),
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        float(volume.array.min()),
        SimpleITK.sitkFloat32,
    )
    array: Float32Array = SimpleITK.GetArrayFromImage(resampled)
    return array


def bring_to_grid(volume: hd.Volume, geometry: hd.VolumeGeometry) -> hd.Volume:
    """Returns a volume on another grid; its values stay the same if the grids differ by less than ``_SAME_VOXEL``."""
    is_same = has_same_grid(volume, geometry)
    return geometry.with_array(volume.array if is_same else resample_to_geometry(volume, geometry))


def has_same_grid(volume: hd.Volume | hd.VolumeGeometry, geometry: hd.VolumeGeometry) -> bool:
    """Whether the voxels of a volume are at the positions of a grid, except for rounding errors."""
    corners = np.array([np.zeros(3), *np.diag(geometry.spatial_shape)])
    index = volume.map_reference_to_indices(geometry.map_indices_to_reference(corners))
    return volume.spatial_shape == geometry.spatial_shape and bool(np.abs(index - corners).max() < _SAME_VOXEL)
