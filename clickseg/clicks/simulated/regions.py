"""Connected regions of a mask, and how deep voxels lie in them: by ``edt`` on the host, by CuPy on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import edt
import numpy as np
from scipy import ndimage

from clickseg.clicks.click import Point
from clickseg.core.arrays import Box, Indices, Integers, Mask, Values
from clickseg.core.device import Device
from clickseg.core.errors import DeviceMemoryError

_NEIGHBOURS: Final = ndimage.generate_binary_structure(3, 3)
"""Voxels of one region share a corner: as the protocols that evaluate interactive segmentation have it."""

Depth: TypeAlias = Callable[[Mask, Point], Values]
"""Returns how far each voxel [I, J, K] is from the nearest one outside a mask; beyond the array is outside.

The mask lies on the host. The distance of voxels along each axis is in mm, or 1 for depth in voxels.
"""


@dataclass(frozen=True, slots=True)
class Region:
    """One region.

    Attributes:
        box: The smallest box of the volume [I, J, K] that holds it.
        mask: Its voxels in that box.
        voxels: How many there are.
    """

    box: Box
    mask: Mask
    voxels: int

    @property
    def first(self) -> tuple[int, int, int]:
        """The first voxel of its box."""
        i, j, k = (part.start for part in self.box)
        return i, j, k


class Regions:
    """The regions of a mask [I, J, K], numbered from 1.

    Attributes:
        voxels: How many voxels each has.
    """

    def __init__(self, mask: Mask) -> None:
        """Finds them."""
        self._numbers: Integers = ndimage.label(mask, _NEIGHBOURS)[0]
        self._boxes: Sequence[Box] = ndimage.find_objects(self._numbers)
        self.voxels: Indices = np.bincount(self._numbers[mask], minlength=len(self._boxes) + 1)[1:]

    def __len__(self) -> int:
        return len(self.voxels)

    def region(self, number: int) -> Region:
        """Returns one region."""
        box = self._boxes[number - 1]
        return Region(box, self._numbers[box] == number, int(self.voxels[number - 1]))

    @property
    def largest(self) -> int:
        """The number of the region of the most voxels, the first of equal ones; there is at least one."""
        return 1 + int(self.voxels.argmax())


def depth_on_host(mask: Mask, spacing: Point) -> Values:
    """See ``Depth``."""
    distances: Values = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing, black_border=True, parallel=1)
    return distances


def depth_on(device: Device) -> Depth:
    """Returns how depth is found on a device; where its memory is full, the host does it."""
    if device.is_host:
        return depth_on_host

    def depth(mask: Mask, spacing: Point) -> Values:
        try:
            return _on_gpu(device, mask, spacing)
        except DeviceMemoryError:
            return depth_on_host(mask, spacing)

    return depth


def _on_gpu(device: Device, mask: Mask, spacing: Point) -> Values:
    from cupyx.scipy.ndimage import distance_transform_edt

    with device.working():
        bordered = device.put(np.pad(mask, 1))  # what is beyond the array does not count there
        distances: Values = device.get(distance_transform_edt(bordered, sampling=spacing, float64_distances=False))
    return distances[1:-1, 1:-1, 1:-1]
