"""The sliding window's grid: where windows lie, and how much each voxel of a window counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from clickseg.arrays import Values
from clickseg.models.spec import WindowSpec

Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows that cover a volume, as MONAI's ``sliding_window_inference`` lays them.

    Attributes:
        shape: The volume [I, J, K].
        roi: The window [I, J, K].
        padding: Voxels put before and after each axis, where the volume is smaller than the window.
        starts: For each axis the first voxel of each window, in the padded volume.
    """

    shape: Triple
    roi: Triple
    padding: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def over(cls, shape: Triple, spec: WindowSpec) -> WindowGrid:
        """Lays windows over a volume: first to last along each axis, the last one shifted back to end with it."""
        axes = list(zip(shape, spec.roi, strict=True))
        padding = [_padding(count, roi) for count, roi in axes]
        starts = [_starts(max(count, roi), roi, spec.overlap) for count, roi in axes]
        return cls(shape, spec.roi, (padding[0], padding[1], padding[2]), (starts[0], starts[1], starts[2]))

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])

    def __iter__(self) -> Iterator[tuple[slice, slice, slice]]:
        """Yields each window's place in the padded volume, the last axis fastest."""
        for i, j, k in product(*self.starts):
            yield slice(i, i + self.roi[0]), slice(j, j + self.roi[1]), slice(k, k + self.roi[2])

    @property
    def interior(self) -> tuple[slice, slice, slice]:
        """Where the volume lies in the padded volume."""
        i, j, k = (slice(before, before + count) for (before, _), count in zip(self.padding, self.shape, strict=True))
        return i, j, k


def importance(spec: WindowSpec) -> Values:
    """Returns the weight [I, J, K] of each voxel of a window: a Gaussian about its centre, at least 0.001."""
    weight = np.ones((1, 1, 1), dtype=np.float32)
    for axis, count in enumerate(spec.roi):
        distance = np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)
        gaussian = np.exp(distance**2 / np.float32(-2 * (spec.sigma_scale * count) ** 2))
        weight = weight * gaussian.reshape([-1 if index == axis else 1 for index in range(3)])
    return np.maximum(weight, np.float32(1e-3))


def _padding(count: int, roi: int) -> tuple[int, int]:
    missing = max(roi - count, 0)
    return missing // 2, missing - missing // 2


def _starts(count: int, roi: int, overlap: float) -> tuple[int, ...]:
    interval = max(int(roi * (1 - overlap)), 1)
    starts = [0]
    while starts[-1] + roi < count:
        starts.append(min(starts[-1] + interval, count - roi))
    return tuple(starts)
