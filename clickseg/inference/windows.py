"""The sliding window's grid: where windows lie, and how much each voxel of a window counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from clickseg.core.arrays import Box, Indices, Triple, Values
from clickseg.inference.guidance import inside
from clickseg.models.spec import WindowSpec


@dataclass(frozen=True, slots=True)
class Window:
    """One window.

    Attributes:
        start: Its first voxel [I, J, K] in the volume; below 0 where the volume is smaller than the window.
        roi: Its size [I, J, K].
        place: The part of the volume that it covers.
        part: That part in the window.
    """

    start: Triple
    roi: Triple
    place: Box
    local_box: Box


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows that cover a volume, as MONAI's ``sliding_window_inference`` lays them.

    They come layer by layer along one axis, the grid order: what a voxel is blended from is added up in this order.

    Attributes:
        shape: The volume [I, J, K].
        roi: The window [I, J, K].
        starts: For each axis the first voxel of each window.
        axis: The axis along which the volume is worked through: the one with the smallest layers of windows.
    """

    shape: Triple
    roi: Triple
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    axis: int

    @classmethod
    def over(cls, shape: Triple, spec: WindowSpec) -> WindowGrid:
        """Lays windows over a volume: first to last along each axis, the last one shifted back to end with it.

        A volume that is smaller than the window lies in its middle.
        """
        i, j, k = (_window_starts(count, roi, spec.overlap) for count, roi in zip(shape, spec.roi, strict=True))
        thickness = [min(count, roi) * math.prod(shape) // count for count, roi in zip(shape, spec.roi, strict=True)]
        return cls(shape, spec.roi, (i, j, k), thickness.index(min(thickness)))

    @property
    def plane_shape(self) -> tuple[int, int]:
        """The volume across ``axis`` [P, Q]."""
        p, q = (count for axis, count in enumerate(self.shape) if axis != self.axis)
        return p, q

    @property
    def thickness(self) -> int:
        """How many planes across ``axis`` a window covers."""
        return min(self.roi[self.axis], self.shape[self.axis])

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])

    def __iter__(self) -> Iterator[Window]:
        """Yields the windows in grid order: layer by layer, in each the last axis fastest."""
        return (window for layer in self.layers() for window in layer.windows)

    def layers(self) -> Iterator[Layer]:
        """Yields the windows that start at the same voxel along ``axis``, first to last."""
        firsts = self.starts[self.axis]
        for first, following in zip(firsts, (*firsts[1:], self.shape[self.axis]), strict=True):
            starts = [(first,) if axis == self.axis else of_axis for axis, of_axis in enumerate(self.starts)]
            yield Layer(tuple(self.window_at((i, j, k)) for i, j, k in product(*starts)), following)

    def restrict_to(self, box: Box) -> WindowGrid:
        """Returns the windows that reach a box of the volume, as windows over that box: the rest of them is cut off."""
        starts = [
            tuple(start - part.start for start in of_axis if start < part.stop and start + roi > part.start)
            for of_axis, roi, part in zip(self.starts, self.roi, box, strict=True)
        ]
        shape = [part.stop - part.start for part in box]
        return WindowGrid((shape[0], shape[1], shape[2]), self.roi, (starts[0], starts[1], starts[2]), axis=self.axis)

    def holding(self, voxels: Indices) -> tuple[Window, ...]:
        """Returns the windows, in grid order, that hold any of some voxels [N, 3]."""
        return tuple(window for window in self if len(inside(voxels - window.start, window.roi)))

    def window_at(self, start: Triple) -> Window:
        """Returns the window that begins at a voxel."""
        axes = list(zip(start, self.roi, self.shape, strict=True))
        place = [slice(max(first, 0), min(first + roi, count)) for first, roi, count in axes]
        part = [slice(box.start - first, box.stop - first) for box, first in zip(place, start, strict=True)]
        return Window(start, self.roi, (place[0], place[1], place[2]), (part[0], part[1], part[2]))


@dataclass(frozen=True, slots=True)
class Layer:
    """The windows that start at the same voxel along the axis that a volume is worked through.

    Attributes:
        windows: In grid order.
        stop: The first voxel along that axis that a later window touches; the volume's end for the last layer.
    """

    windows: tuple[Window, ...]
    stop: int


def importance_map(spec: WindowSpec) -> Values:
    """Returns the weight [I, J, K] of each voxel of a window: a Gaussian about its centre, at least 0.001."""
    weight = np.ones((1, 1, 1), dtype=np.float32)
    for axis, count in enumerate(spec.roi):
        distance = np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)
        gaussian = np.exp(distance**2 / np.float32(-2 * (spec.sigma_scale * count) ** 2))
        weight = weight * gaussian.reshape([-1 if index == axis else 1 for index in range(3)])
    return np.maximum(weight, np.float32(1e-3))


def _window_starts(count: int, roi: int, overlap: float) -> tuple[int, ...]:
    if count < roi:
        return (-((roi - count) // 2),)
    interval = max(int(roi * (1 - overlap)), 1)
    starts = [0]
    while starts[-1] + roi < count:
        starts.append(min(starts[-1] + interval, count - roi))
    return tuple(starts)
