"""Connected regions of a mask, and the depth of voxels in them, computed by ``edt`` on the host or CuPy on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import edt
import numpy as np
from scipy import ndimage

from clickseg.core.arrays import Box, Float32Array, IndexArray, IntegerArray, Mask, full_box, mask_bounds
from clickseg.core.device import Device
from clickseg.core.errors import DeviceMemoryError

_NEIGHBOURS: Final = ndimage.generate_binary_structure(3, 3)
"""Voxels that share a corner belong to one region, as in evaluation protocols of interactive segmentation."""

Spacing: TypeAlias = tuple[float, float, float]
"""The voxel spacing along each axis in mm, or 1 along each axis for distances in voxels."""

DepthFunction: TypeAlias = Callable[[Mask, Spacing], Float32Array]
"""Returns the depth of each voxel [I, J, K] of a mask: its distance to the nearest voxel outside the mask.

Voxels beyond the border of the array are outside. The mask is on the host.
"""


_MIN_GPU_VOXELS = 1 << 20
"""The size of a mask from which a GPU is faster: for smaller ones, copies and kernel starts take longer than the host,
which needs about 1 ms for 48 x 48 x 48 voxels."""


@dataclass(frozen=True, slots=True)
class Region:
    """A connected region.

    Attributes:
        box: The bounding box of the region in the volume [I, J, K].
        mask: The mask of the region within its box.
        voxel_count: The number of voxels.
    """

    box: Box
    mask: Mask
    voxel_count: int

    @property
    def origin(self) -> tuple[int, int, int]:
        """The first voxel of the box."""
        i, j, k = (axis_range.start for axis_range in self.box)
        return i, j, k


class Regions:
    """The connected regions of a mask [I, J, K], numbered from 1.

    Attributes:
        voxel_counts: The number of voxels of each region.
    """

    def __init__(self, mask: Mask) -> None:
        """Finds the regions of a mask."""
        bounds = mask_bounds(mask) or full_box(mask.shape)
        inside = mask[bounds]  # the errors of a prediction fill a small part of a volume
        self._first = [part.start for part in bounds]
        self._numbers: IntegerArray = ndimage.label(inside, _NEIGHBOURS)[0]
        self._boxes: Sequence[Box] = ndimage.find_objects(self._numbers)
        self.voxel_counts: IndexArray = np.bincount(self._numbers[inside], minlength=len(self._boxes) + 1)[1:]

    def __len__(self) -> int:
        return len(self.voxel_counts)

    def region(self, number: int) -> Region:
        """Returns the region of a number."""
        box = self._boxes[number - 1]
        i, j, k = (slice(n + part.start, n + part.stop) for n, part in zip(self._first, box, strict=True))
        return Region((i, j, k), self._numbers[box] == number, int(self.voxel_counts[number - 1]))

    @property
    def largest_number(self) -> int:
        """The number of the largest region; the first of several equally large regions. There must be at least one."""
        return 1 + int(self.voxel_counts.argmax())


def depth_on_host(mask: Mask, spacing: Spacing) -> Float32Array:
    """Computes depth on the host; see ``DepthFunction``."""
    distances: Float32Array = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing, black_border=True, parallel=1)
    return distances


def depth_function(device: Device) -> DepthFunction:
    """Returns the depth function for a device; small masks, and those for which it has no memory, use the host."""
    if device.is_host:
        return depth_on_host

    def depth(mask: Mask, spacing: Spacing) -> Float32Array:
        if mask.size < _MIN_GPU_VOXELS:
            return depth_on_host(mask, spacing)
        try:
            return _depth_on_gpu(device, mask, spacing)
        except DeviceMemoryError:
            return depth_on_host(mask, spacing)

    return depth


def _depth_on_gpu(device: Device, mask: Mask, spacing: Spacing) -> Float32Array:
    from cupyx.scipy.ndimage import distance_transform_edt

    with device.activate():
        padded = device.put(np.pad(mask, 1))  # CuPy ignores voxels beyond the border of the array
        distances: Float32Array = device.get(distance_transform_edt(padded, sampling=spacing, float64_distances=False))
    return distances[1:-1, 1:-1, 1:-1]
