"""Between the source grid and the model grid: flips and permutations of axes, and linear interpolation along each.

The model grid shares the axes and the first voxel centre of the source (as MONAI's ``Orientation`` and ``Spacing``), so
that nothing is ever rotated and interpolation is done along one axis at a time. Coordinates are absolute indices: a
part of a result is the same, to the bit, whether it is computed alone or as part of the whole.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Doubles, Indices, Values
from clickseg.core.device import HOST, Device
from clickseg.core.errors import ModelError
from clickseg.core.sitk import to_sitk
from clickseg.inference.orientation import turn_to
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


def source_coordinates(source: hd.VolumeGeometry, model: hd.VolumeGeometry, grid: GridSpec) -> tuple[Doubles, ...]:
    """Returns, for each axis of the oriented source grid, the model index of each of its voxel centres."""
    oriented = turn_to(source, grid.orientation).apply(source)
    return tuple(
        np.arange(count) * float(spacing / wanted)
        for count, spacing, wanted in zip(oriented.spatial_shape, oriented.spacing, model.spacing, strict=True)
    )


class OnModelGrid:
    """A volume on the model grid, of which only the planes that are asked for are made.

    Attributes:
        shape: The model grid [I, J, K].
    """

    def __init__(self, volume: hd.Volume, grid: GridSpec, device: Device = HOST) -> None:
        geometry = model_geometry(volume.get_geometry(), grid)
        i, j, k = (int(count) for count in geometry.spatial_shape)
        self.shape = (i, j, k)
        turn = turn_to(volume, grid.orientation)
        spacing = turn.apply(volume.get_geometry()).spacing
        self._volume, self._grid, self._device = volume, grid, device
        self._array: Values = turn.view(device.put(volume.array))
        self._taps = [
            LinearWeights.at_coordinates(np.arange(count) * float(wanted / own), len_)
            for count, wanted, own, len_ in zip(self.shape, geometry.spacing, spacing, self._array.shape, strict=True)
        ]

    def on(self, device: Device) -> OnModelGrid:
        """Returns the same on a device."""
        return OnModelGrid(self._volume, self._grid, device)

    def part(self, box: Box) -> Values:
        """Returns a part of it, float32 [I, J, K]: the same values, whatever the part."""
        some = [each.select(part, 0) for each, part in zip(self._taps, box, strict=True)]
        lows = [int(each.lower[0]) for each in some]
        array = self._array[tuple(slice(low, int(each.upper[-1]) + 1) for low, each in zip(lows, some, strict=True))]
        for axis, (low, each) in enumerate(zip(lows, some, strict=True)):
            array = interpolate(array, axis, each.select(slice(None), low), self._device)
        return array


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


class LinearWeights(NamedTuple):
    """Linear interpolation along one axis: each value lies between two neighbours.

    Attributes:
        lower: Index of the neighbour below.
        upper: Index of the neighbour above.
        weight: Of the neighbour above; the one below has the rest. float32.
    """

    lower: Indices
    upper: Indices
    weight: Values

    @classmethod
    def at_coordinates(cls, coordinates: Doubles, count: int) -> LinearWeights:
        """Returns the taps for places along an axis; beyond its ends the outermost value counts.

        Args:
            coordinates: Where to interpolate, as indices of the axis.
            count: How many values the axis has.
        """
        inside = np.clip(coordinates, 0, count - 1)
        lower = inside.astype(np.intp)
        return cls(lower, np.minimum(lower + 1, count - 1), (inside - lower).astype(np.float32))

    def range_touching(self, part: slice) -> slice:
        """Returns the taps that have a neighbour in a part of the axis; places ascend, so they lie side by side."""
        return slice(
            int(np.searchsorted(self.upper, part.start, side="left")),
            int(np.searchsorted(self.lower, part.stop, side="left")),
        )

    def to_device(self, device: Device) -> LinearWeights:
        """Returns the taps on a device."""
        return LinearWeights(device.put(self.lower), device.put(self.upper), device.put(self.weight))

    def select(self, box: slice, origin: int) -> LinearWeights:
        """Returns some of the taps, their neighbours counted from an origin."""
        return LinearWeights(self.lower[box] - origin, self.upper[box] - origin, self.weight[box])


class Neighbours(NamedTuple):
    """Where a block of source voxels [N, R, S] lies between planes of the model grid [M, P, Q].

    Attributes:
        planes: Between which of the M planes each of the N lies.
        rows: Between which of the P rows each of the R lies.
        columns: Between which of the Q columns each of the S lies.
    """

    planes: LinearWeights
    rows: LinearWeights
    columns: LinearWeights


def interpolate(array: Values, axis: int, taps: LinearWeights, device: Device = HOST) -> Values:
    """Interpolates linearly along one axis.

    Args:
        array: Values of any shape, on the device.
        axis: The axis.
        taps: Where to interpolate along it; on the host.
        device: Where the values are.

    Returns:
        The values, with an entry for each tap along the axis; the array itself where each tap is one of its values.
    """
    if np.array_equal(taps.lower, np.arange(array.shape[axis])) and not taps.weight.any():
        return array
    lower, upper, weights = taps.to_device(device)
    weight = weights.reshape([-1 if index == axis else 1 for index in range(array.ndim)])
    return lerp(_take_along_axis(array, axis, lower), _take_along_axis(array, axis, upper), weight)


def _take_along_axis(array: Values, axis: int, indices: Indices) -> Values:
    """Returns some places along an axis; ``take`` would first copy an array whose axes are turned."""
    places: tuple[slice | Indices, ...] = (*[slice(None)] * axis, indices)
    taken: Values = array[places]
    return taken


def lerp(lower: Values, upper: Values, weight: Values | np.float32) -> Values:
    """Returns ``lower * (1 - weight) + upper * weight``, each step rounded to float32."""
    result: Values = lower * (np.float32(1) - weight) + upper * weight
    return result
