"""Linear interpolation along one axis, and along three: where each value lies between its neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clickseg.arrays import Doubles, Indices, Values
from clickseg.inference.device import HOST, Device


class Taps(NamedTuple):
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
    def at(cls, coordinates: Doubles, count: int) -> Taps:
        """Returns the taps for places along an axis; beyond its ends the outermost value counts.

        Args:
            coordinates: Where to interpolate, as indices of the axis.
            count: How many values the axis has.
        """
        inside = np.clip(coordinates, 0, count - 1)
        lower = inside.astype(np.intp)
        return cls(lower, np.minimum(lower + 1, count - 1), (inside - lower).astype(np.float32))

    def reaching(self, part: slice) -> slice:
        """Returns the taps that have a neighbour in a part of the axis; places ascend, so they lie side by side."""
        return slice(
            int(np.searchsorted(self.upper, part.start, side="left")),
            int(np.searchsorted(self.lower, part.stop, side="left")),
        )

    def on(self, device: Device) -> Taps:
        """Returns the taps on a device."""
        return Taps(device.put(self.lower), device.put(self.upper), device.put(self.weight))

    def part(self, box: slice, origin: int) -> Taps:
        """Returns some of the taps, their neighbours counted from an origin."""
        return Taps(self.lower[box] - origin, self.upper[box] - origin, self.weight[box])


class Between(NamedTuple):
    """Where a block of source voxels [N, R, S] lies between planes of the model grid [M, P, Q].

    Attributes:
        planes: Between which of the M planes each of the N lies.
        rows: Between which of the P rows each of the R lies.
        columns: Between which of the Q columns each of the S lies.
    """

    planes: Taps
    rows: Taps
    columns: Taps


def interpolate(array: Values, axis: int, taps: Taps, device: Device = HOST) -> Values:
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
    lower, upper, weights = taps.on(device)
    weight = weights.reshape([-1 if index == axis else 1 for index in range(array.ndim)])
    return mixed(_taken(array, axis, lower), _taken(array, axis, upper), weight)


def _taken(array: Values, axis: int, indices: Indices) -> Values:
    """Returns some places along an axis; ``take`` would first copy an array whose axes are turned."""
    places: tuple[slice | Indices, ...] = (*[slice(None)] * axis, indices)
    taken: Values = array[places]
    return taken


def mixed(lower: Values, upper: Values, weight: Values | np.float32) -> Values:
    """Returns ``lower * (1 - weight) + upper * weight``, each step rounded to float32."""
    result: Values = lower * (np.float32(1) - weight) + upper * weight
    return result
