"""Linear interpolation and nearest neighbours along one axis, on the host or on a device.

The weights belong to absolute indices: a part of a result has the same bytes as in the entire result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clickseg.core.arrays import Float32Array, FloatArray, IndexArray
from clickseg.core.device import HOST, Device


class LinearWeights(NamedTuple):
    """Weights of linear interpolation along one axis: each coordinate is between two neighbours.

    Attributes:
        lower: Index of the lower neighbour.
        upper: Index of the upper neighbour.
        weight: Weight of the upper neighbour, float32; the lower neighbour has 1 - weight.
    """

    lower: IndexArray
    upper: IndexArray
    weight: Float32Array

    @classmethod
    def at_coordinates(cls, coordinates: FloatArray, count: int) -> LinearWeights:
        """Returns the weights for coordinates along an axis; beyond its ends the outermost value is used.

        Args:
            coordinates: The coordinates, as indices of the axis.
            count: The number of values along the axis.
        """
        inside = np.clip(coordinates, 0, count - 1)
        lower = inside.astype(np.intp)
        return cls(lower, np.minimum(lower + 1, count - 1), (inside - lower).astype(np.float32))

    @classmethod
    def at_nearest(cls, coordinates: FloatArray, count: int) -> LinearWeights:
        """Returns weights for the index that is nearest to each coordinate; halfway between two, the upper one.

        This is the rule of SciPy and scikit-image.

        Args:
            coordinates: The coordinates, as indices of the axis.
            count: The number of values along the axis.
        """
        nearest = np.floor(np.clip(coordinates, 0, count - 1) + 0.5).astype(np.intp)
        return cls(nearest, nearest, np.zeros(len(nearest), np.float32))

    def round_to_nearest(self) -> LinearWeights:
        """Returns weights of 0 and 1, for the nearest neighbour; halfway between two, the even one, as in torch."""
        is_upper = (self.weight > 0.5) | ((self.weight == 0.5) & (self.lower % 2 == 1))
        return LinearWeights(self.lower, self.upper, is_upper.astype(np.float32))

    def range_touching(self, part: slice) -> slice:
        """Returns the range of coordinates with a neighbour in a part of the axis; coordinates must be ascending."""
        return slice(
            int(np.searchsorted(self.upper, part.start, side="left")),
            int(np.searchsorted(self.lower, part.stop, side="left")),
        )

    def range_inside(self, part: slice) -> slice:
        """Returns the range of coordinates that depend on a value in a part of the axis."""
        lower_inside = (part.start <= self.lower) & (self.lower < part.stop) & (self.weight < 1)
        upper_inside = (part.start <= self.upper) & (self.upper < part.stop) & (self.weight > 0)
        inside = np.flatnonzero(lower_inside | upper_inside)
        return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)

    def clip_to(self, part: slice) -> LinearWeights:
        """Returns weights of the values in a part of the axis; beyond its ends the outermost value is used."""
        lower, upper = (np.clip(index, part.start, part.stop - 1) - part.start for index in (self.lower, self.upper))
        return LinearWeights(lower, upper, self.weight)

    def to_device(self, device: Device) -> LinearWeights:
        """Returns the weights on a device."""
        return LinearWeights(device.put(self.lower), device.put(self.upper), device.put(self.weight))

    def select(self, part: slice, origin: int) -> LinearWeights:
        """Returns the weights of a range of coordinates, with neighbour indices relative to an origin."""
        return LinearWeights(self.lower[part] - origin, self.upper[part] - origin, self.weight[part])


class TrilinearWeights(NamedTuple):
    """Weights of linear interpolation along three axes: source voxels [N, R, S] between model voxels [M, P, Q].

    Attributes:
        planes: The weights of the N source planes between the M model planes.
        rows: The weights of the R source rows between the P model rows.
        columns: The weights of the S source columns between the Q model columns.
    """

    planes: LinearWeights
    rows: LinearWeights
    columns: LinearWeights


def interpolate(array: Float32Array, axis: int, weights: LinearWeights, device: Device = HOST) -> Float32Array:
    """Interpolates linearly along one axis.

    Args:
        array: Values of any shape, on the device.
        axis: The axis.
        weights: The weights along the axis, on the host.
        device: The device of the values.

    Returns:
        The values, with an entry for each coordinate along the axis; the array itself if the coordinates are exactly
        its indices.
    """
    if np.array_equal(weights.lower, np.arange(array.shape[axis])) and not weights.weight.any():
        return array
    lower, upper, weight = weights.to_device(device)
    weight = weight.reshape([-1 if index == axis else 1 for index in range(array.ndim)])
    return lerp(take_along_axis(array, axis, lower), take_along_axis(array, axis, upper), weight)


def take_along_axis(array: Float32Array, axis: int, indices: IndexArray) -> Float32Array:
    """Returns the values at some indices of an axis; ``np.take`` would first copy an array with permuted axes."""
    selection: tuple[slice | IndexArray, ...] = (*[slice(None)] * axis, indices)
    values: Float32Array = array[selection]
    return values


def lerp(lower: Float32Array, upper: Float32Array, weight: Float32Array | np.float32) -> Float32Array:
    """Returns ``lower * (1 - weight) + upper * weight``, each step rounded to float32."""
    result: Float32Array = lower * (np.float32(1) - weight) + upper * weight
    return result
