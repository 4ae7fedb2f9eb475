"""Cubic B-spline interpolation, as ``resize`` of scikit-image with ``order=3, mode="edge"`` and ``clip=True``.

The coefficients of the spline are computed once, from the entire source volume. A value depends only on 4 coefficients
along each axis, so that it has the same bytes in every box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Float32Array, FloatArray, IndexArray, Triple
from clickseg.core.device import HOST, Device
from clickseg.core.machine import processor_count
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import (
    LinearWeights,
    image_separate_axis,
    model_coordinates,
    model_geometry,
    take_along_axis,
)
from clickseg.models.spec import GridSpec

_PADDING = 12
"""SciPy's number of values that repeat the outermost one on each side, before the coefficients are computed."""

_MARGIN = 2
"""The coefficients beyond the outermost ones that values between the edges depend on."""

_LINES_PER_BLOCK = 16


class CubicWeights(NamedTuple):
    """Weights of cubic interpolation along one axis: each coordinate depends on 4 coefficients.

    Attributes:
        first: The index of the first of them, in an axis with ``_MARGIN`` coefficients before that of index 0.
        weights: The weights of the first, third and fourth [3, N], float32; the second has what is left of 1.
    """

    first: IndexArray
    weights: Float32Array

    @classmethod
    def at_coordinates(cls, coordinates: FloatArray) -> CubicWeights:
        """Returns the weights for coordinates between the edges of an axis: -0.5 to its count - 0.5."""
        below = np.floor(coordinates)
        after = coordinates - below
        before = 1 - after
        weights = np.stack([before**3, 4 - 6 * before**2 + 3 * before**3, after**3]) / 6
        return cls(below.astype(np.intp) - 1 + _MARGIN, weights.astype(np.float32))

    def select(self, part: slice, origin: int) -> CubicWeights:
        """Returns the weights of a range of coordinates, with indices relative to an origin."""
        return CubicWeights(self.first[part] - origin, self.weights[:, part])

    @property
    def indices(self) -> slice:
        """The range of the coefficients."""
        return slice(int(self.first[0]), int(self.first[-1]) + 4)

    def interpolate(self, array: Float32Array, axis: int, device: Device = HOST) -> Float32Array:
        """Interpolates along one axis of coefficients on a device; where these are equal, so is the result."""
        first, weights = device.put(self.first), device.put(self.weights)
        shape = [-1 if index == axis else 1 for index in range(array.ndim)]
        second = take_along_axis(array, axis, first + 1)
        values: Float32Array = (take_along_axis(array, axis, first) - second) * weights[0].reshape(shape)
        for offset in (2, 3):
            difference = take_along_axis(array, axis, first + offset)
            difference -= second
            difference *= weights[offset - 1].reshape(shape)
            values += difference
        values += second
        return values


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
        return sorted(range(3), key=lambda axis: (isinstance(self.weights[axis], CubicWeights), ratios[axis]))


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


def spline_coefficients(array: Float32Array, axes: Sequence[int]) -> Float32Array:
    """Returns the coefficients of the cubic spline along some axes of a volume; beyond it, its outermost value counts.

    Args:
        array: The volume, on the host.
        axes: The axes; along each of them, there are ``_MARGIN`` coefficients more on both sides.
    """
    margins = [_MARGIN if axis in axes else 0 for axis in range(array.ndim)]
    shape = [count + 2 * margin for count, margin in zip(array.shape, margins, strict=True)]
    coefficients = np.empty_like(array, np.float32, shape=shape)
    done = [slice(margin, margin + count) for margin, count in zip(margins, array.shape, strict=True)]
    coefficients[tuple(done)] = array
    order = sorted(range(array.ndim), key=lambda axis: -abs(coefficients.strides[axis]))  # as in memory
    with ThreadPoolExecutor(processor_count()) as pool:
        for axis in axes:
            done[axis] = slice(None)
            lines = coefficients[tuple(done)].transpose(order)
            list(pool.map(partial(_filter_lines, axis=order.index(axis)), _blocks(lines, order.index(axis))))
    return coefficients


def _blocks(lines: Float32Array, axis: int) -> Iterator[Float32Array]:
    """Yields parts of all lines along an axis."""
    across = 1 if axis == 0 else 0
    for first in range(0, lines.shape[across], _LINES_PER_BLOCK):
        yield lines[(*(slice(None),) * across, slice(first, first + _LINES_PER_BLOCK))]


def _filter_lines(lines: Float32Array, axis: int) -> None:
    """Replaces values by coefficients along an axis, which has a margin without values on both sides."""
    from scipy import ndimage

    before, count = (slice(None),) * axis, lines.shape[axis]
    inner = lines[(*before, slice(_MARGIN, count - _MARGIN))]
    padding = [(_PADDING, _PADDING) if number == axis else (0, 0) for number in range(lines.ndim)]
    padded = np.pad(inner, padding, mode="edge")
    filtered = ndimage.spline_filter1d(padded, 3, axis, output=np.float32, mode="nearest")
    surplus = _PADDING - _MARGIN
    lines[...] = filtered[(*before, slice(surplus, surplus + count))]
