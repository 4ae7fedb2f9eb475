"""How deep voxels lie in a region: by ``edt`` on the host, by CuPy on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import edt
import numpy as np

from clickseg.arrays import Mask, Values
from clickseg.clicks.click import Point
from clickseg.errors import DeviceMemoryError
from clickseg.inference.device import Device

Depth: TypeAlias = Callable[[Mask, Point], Values]
"""Returns how far each voxel [I, J, K] is from the nearest one outside a mask; beyond the array is outside.

The mask lies on the host. The distance of voxels along each axis is in mm, or 1 for depth in voxels.
"""


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
