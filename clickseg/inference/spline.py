"""Cubic B-splines along the axes of a volume: their coefficients, and the weights of these at some coordinates.

A value depends on 4 coefficients along each axis, at absolute indices: it has the same bytes in every box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from clickseg.core.arrays import Float32Array, FloatArray, IndexArray
from clickseg.core.device import HOST, Device
from clickseg.core.machine import processor_count
from clickseg.inference.linear import take_along_axis

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
