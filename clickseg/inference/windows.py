"""The positions of the sliding window, and the importance map that weights the voxels of a window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from clickseg.core.arrays import Box, Float32Array, IndexArray, Triple
from clickseg.inference.guidance import voxels_inside
from clickseg.models.spec import WindowSpec

_NNUNET_MAXIMUM = 10
"""The largest weight of nnU-Net, which it chose for f16; in f32 it only keeps the weights comparable."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window.

    Attributes:
        start: The first voxel [I, J, K] in the volume; negative if the volume is smaller than the window.
        roi: The size [I, J, K].
        volume_box: The part of the volume that the window covers.
        local_box: The same part, in coordinates of the window.
    """

    start: Triple
    roi: Triple
    volume_box: Box
    local_box: Box


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows that cover a volume, at the positions of MONAI's ``sliding_window_inference`` or of nnU-Net.

    Their order, the grid order, is layer by layer along one axis. The windows of a voxel are summed in this order.

    Attributes:
        shape: The size of the volume [I, J, K].
        roi: The size of a window [I, J, K].
        starts: For each axis the first voxel of each window.
        axis: The axis along which the volume is processed: the one with the smallest layers of windows.
    """

    shape: Triple
    roi: Triple
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    axis: int

    @classmethod
    def cover(cls, shape: Triple, spec: WindowSpec) -> WindowGrid:
        """Covers a volume with windows; the first window along each axis starts with the volume, the last ends with it.

        A volume that is smaller than the window is centred in it.
        """
        i, j, k = (_window_starts(count, roi, spec) for count, roi in zip(shape, spec.roi, strict=True))
        thickness = [min(count, roi) * math.prod(shape) // count for count, roi in zip(shape, spec.roi, strict=True)]
        return cls(shape, spec.roi, (i, j, k), thickness.index(min(thickness)))

    @property
    def plane_shape(self) -> tuple[int, int]:
        """The shape [P, Q] of a plane perpendicular to ``axis``."""
        p, q = (count for axis, count in enumerate(self.shape) if axis != self.axis)
        return p, q

    @property
    def thickness(self) -> int:
        """The number of planes perpendicular to ``axis`` that a window covers."""
        return min(self.roi[self.axis], self.shape[self.axis])

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])

    def __iter__(self) -> Iterator[Window]:
        """Yields the windows in grid order: layer by layer, and within a layer with the last axis fastest."""
        return (window for layer in self.layers() for window in layer.windows)

    def layers(self) -> Iterator[WindowLayer]:
        """Yields the layers from first to last; the windows of a layer start at the same voxel along ``axis``."""
        firsts = self.starts[self.axis]
        for first, following in zip(firsts, (*firsts[1:], self.shape[self.axis]), strict=True):
            starts = [(first,) if axis == self.axis else axis_starts for axis, axis_starts in enumerate(self.starts)]
            yield WindowLayer(tuple(self.window_at((i, j, k)) for i, j, k in product(*starts)), following)

    def restrict_to(self, box: Box) -> WindowGrid:
        """Returns the windows that overlap a box of the volume, clipped to the box and relative to it."""
        starts = [
            tuple(start - part.start for start in axis_starts if start < part.stop and start + roi > part.start)
            for axis_starts, roi, part in zip(self.starts, self.roi, box, strict=True)
        ]
        shape = [part.stop - part.start for part in box]
        return WindowGrid((shape[0], shape[1], shape[2]), self.roi, (starts[0], starts[1], starts[2]), axis=self.axis)

    def windows_containing(self, voxels: IndexArray) -> tuple[Window, ...]:
        """Returns the windows, in grid order, that contain at least one of the voxels [N, 3]."""
        return tuple(window for window in self if len(voxels_inside(voxels - window.start, window.roi)))

    def window_at(self, start: Triple) -> Window:
        """Returns the window with a first voxel [I, J, K]."""
        axes = list(zip(start, self.roi, self.shape, strict=True))
        volume_box = [slice(max(first, 0), min(first + roi, count)) for first, roi, count in axes]
        local_box = [
            slice(part.start - first, part.stop - first) for part, first in zip(volume_box, start, strict=True)
        ]
        i, j, k = volume_box
        local_i, local_j, local_k = local_box
        return Window(start, self.roi, (i, j, k), (local_i, local_j, local_k))


@dataclass(frozen=True, slots=True)
class WindowLayer:
    """The windows that start at the same voxel along the axis along which a volume is processed.

    Attributes:
        windows: The windows in grid order.
        stop: The first plane along that axis that a later window covers; the end of the volume for the last layer.
    """

    windows: tuple[Window, ...]
    stop: int


def importance_map(spec: WindowSpec) -> Float32Array:
    """Returns the weight of each voxel of a window [I, J, K], always above 0.

    All weights are 1, or they are a Gaussian: that of MONAI around the centre of the window, at least 0.001; or that of
    nnU-Net around voxel ``roi // 2``, with the maximum 10. Beyond 4 standard deviations, it is constant.
    """
    if spec.mode == "constant":
        return np.ones(spec.roi, dtype=np.float32)
    profile = _nnunet_profile if spec.mode == "nnunet" else _monai_profile
    weight = np.ones((1, 1, 1), dtype=np.float32)
    for axis, count in enumerate(spec.roi):
        values = profile(count, spec.sigma_scale * count)
        weight = weight * values.reshape([-1 if index == axis else 1 for index in range(3)])
    if spec.mode == "gaussian":
        return np.maximum(weight, np.float32(1e-3))
    weight *= np.float32(_NNUNET_MAXIMUM)
    weight[weight == 0] = np.min(weight, initial=np.inf, where=weight > 0)
    return weight


def _monai_profile(count: int, sigma: float) -> Float32Array:
    """Returns a Gaussian around the centre of a line of voxels."""
    distance = np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)
    gaussian: Float32Array = np.exp(distance**2 / np.float32(-2 * sigma**2))
    return gaussian


def _nnunet_profile(count: int, sigma: float) -> Float32Array:
    """Returns a filtered impulse in voxel ``count // 2``, with maximum 1; SciPy truncates it at 4 sigma."""
    from scipy.ndimage import gaussian_filter1d  # imported only if a model needs it

    impulse = np.zeros(count)
    impulse[count // 2] = 1
    gaussian = gaussian_filter1d(impulse, sigma, mode="constant")
    profile: Float32Array = (gaussian / gaussian.max()).astype(np.float32)
    return profile


def _window_starts(count: int, roi: int, spec: WindowSpec) -> tuple[int, ...]:
    if count < roi:
        return (-((roi - count) // 2),)
    return (_even_starts if spec.placement == "even" else _fixed_starts)(count, roi, spec.overlap)


def _even_starts(count: int, roi: int, overlap: float) -> tuple[int, ...]:
    """Returns starts at equal distances, rounded to voxels: as many as nnU-Net for its step size ``1 - overlap``."""
    step = max(roi * round(1 - overlap, 12), 1)  # 1 - 0.9 is a little less than 0.1, which could add a window
    intervals = math.ceil((count - roi) / step)
    distance = (count - roi) / max(intervals, 1)
    return tuple(round(distance * index) for index in range(intervals + 1))


def _fixed_starts(count: int, roi: int, overlap: float) -> tuple[int, ...]:
    """Returns starts at the distance that the overlap gives; the last one is shifted back to end with the volume."""
    interval = max(int(roi * (1 - overlap)), 1)
    starts = [0]
    while starts[-1] + roi < count:
        starts.append(min(starts[-1] + interval, count - roi))
    return tuple(starts)
