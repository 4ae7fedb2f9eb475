"""A volume on the model grid, interpolated by cubic B-splines, with the values of nnU-Net.

They are those of ``resize`` of scikit-image with ``order=3, mode="edge", anti_aliasing=False`` and ``clip=True``. The
coefficients are computed once, from the entire volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Float32Array, FloatArray, IndexArray, Triple
from clickseg.core.device import HOST, Device
from clickseg.inference.linear import LinearWeights, take_along_axis
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import image_separate_axis, model_coordinates, model_geometry
from clickseg.inference.spline import CubicWeights, spline_coefficients
from clickseg.models.spec import GridSpec


class NearestIndex(NamedTuple):
    """The index of the nearest value along one axis, for each coordinate.

    Attributes:
        first: The index.
    """

    first: IndexArray

    @classmethod
    def at_coordinates(cls, coordinates: FloatArray, count: int) -> NearestIndex:
        """Returns the indices: see ``LinearWeights.at_nearest``."""
        return cls(LinearWeights.at_nearest(coordinates, count).lower)

    def select(self, part: slice, origin: int) -> NearestIndex:
        """Returns a range of coordinates, with indices relative to an origin."""
        return NearestIndex(self.first[part] - origin)

    @property
    def indices(self) -> slice:
        """The range of the values."""
        return slice(int(self.first[0]), int(self.first[-1]) + 1)

    def interpolate(self, array: Float32Array, axis: int, device: Device = HOST) -> Float32Array:
        """Returns the nearest values along one axis of an array on a device."""
        if np.array_equal(self.first, np.arange(array.shape[axis])):
            return array
        return take_along_axis(array, axis, device.put(self.first))


AxisWeights = CubicWeights | NearestIndex


@dataclass(frozen=True, slots=True)
class SplineImage:
    """A volume on the model grid, interpolated from the coefficients of its spline, within the range of its values.

    Attributes:
        coefficients: The coefficients [I, J, K] of the oriented volume, on the device.
        weights: For each axis, the weights of the coefficients.
        limits: The lowest and the highest value [2, I, J, K], on the device: of the volume, with only one entry along
            each axis, or of each slice, with an entry for each voxel along the axis of the slices.
        device: The device.
    """

    coefficients: Float32Array
    weights: tuple[AxisWeights, AxisWeights, AxisWeights]
    limits: Float32Array
    device: Device = HOST

    @property
    def shape(self) -> Triple:
        """The shape of the model grid [I, J, K]."""
        i, j, k = (len(axis_weights.first) for axis_weights in self.weights)
        return i, j, k

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a box, float32 [I, J, K]; a voxel has the same value in every box."""
        selected = [weights.select(part, 0) for weights, part in zip(self.weights, box, strict=True)]
        parts = [weights.indices for weights in selected]
        array = self.coefficients[tuple(parts)]
        for axis in self._axes_by_reduction():
            array = selected[axis].select(slice(None), parts[axis].start).interpolate(array, axis, self.device)
        counts = self.limits.shape[1:]
        part = tuple(part if count > 1 else slice(None) for part, count in zip(box, counts, strict=True))
        clipped: Float32Array = np.clip(array, self.limits[0][part], self.limits[1][part])
        return clipped

    def to_device(self, device: Device) -> SplineImage:
        """Returns the same volume on a device; it must be on the host."""
        return SplineImage(device.put(self.coefficients), self.weights, device.put(self.limits), device)

    def _axes_by_reduction(self) -> list[int]:
        """Returns the axes, first the one that reduces the number of values most; the same for every box."""
        ratios = [count / size for count, size in zip(self.shape, self.coefficients.shape, strict=True)]
        return sorted(range(3), key=ratios.__getitem__)


def make_spline_image(volume: hd.Volume, grid: GridSpec) -> SplineImage:
    """Returns a volume on the model grid.

    Along a separate axis, its slices are interpolated in two dimensions, and the nearest slice is taken.

    Args:
        volume: The volume, in LPS mm.
        grid: The model grid.

    Raises:
        ModelError: The grid has too many voxels.
    """
    source = volume.get_geometry()
    coordinates = model_coordinates(source, model_geometry(source, grid), grid)
    array: Float32Array = reorientation_to(volume, grid.orientation).view(volume.array)
    separate = image_separate_axis(source, grid)
    axes = [
        axis
        for axis, (points, count) in enumerate(zip(coordinates, array.shape, strict=True))
        if axis != separate and len(points) != count
    ]
    i, j, k = (
        CubicWeights.at_coordinates(points) if axis in axes else NearestIndex.at_coordinates(points, count)
        for axis, (points, count) in enumerate(zip(coordinates, array.shape, strict=True))
    )
    within_slice = tuple(axis for axis in range(3) if axis != separate)
    limits = np.stack([array.min(axis=within_slice, keepdims=True), array.max(axis=within_slice, keepdims=True)])
    if separate is not None:
        limits = np.take(limits, (i, j, k)[separate].first, axis=1 + separate)
    return SplineImage(spline_coefficients(array, axes) if axes else array, (i, j, k), limits)
