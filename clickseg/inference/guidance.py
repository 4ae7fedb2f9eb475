"""Clicks as channels: 1 in the ball of voxels around each click, 0 elsewhere.

Balls are drawn on the model grid, after resampling, and never influence each other: a click changes only the voxels of
its own ball, and so only the windows that hold one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import highdicom as hd
import numpy as np
from numpy.typing import ArrayLike

from clickseg.arrays import Indices, Values
from clickseg.clicks.bind import BoundClick
from clickseg.models.spec import GuidanceSpec


def draw(clicks: Iterable[BoundClick], geometry: hd.VolumeGeometry, guidance: GuidanceSpec) -> Values:
    """Draws clicks on the model grid.

    Args:
        clicks: Clicks with their labels resolved.
        geometry: The model grid.
        guidance: Which channel takes which clicks, and the radius of the ball in voxels.

    Returns:
        Channels [G, I, J, K] of 0 and 1.
    """
    channels = np.zeros((len(guidance.channels), *geometry.spatial_shape), dtype=np.float32)
    ball = ball_offsets(guidance.radius_vox)
    for click in clicks:
        centre = voxels_of([click.position_mm], geometry)
        for channel, spec in zip(channels, guidance.channels, strict=True):
            if (click.label, click.polarity) in spec.takes:
                channel[inside(centre + ball, channel.shape)] = 1
    return channels


def voxels_of(positions_mm: ArrayLike, geometry: hd.VolumeGeometry | hd.Volume) -> Indices:
    """Returns the voxels [N, 3] that LPS positions [N, 3] lie in: floor(x + 0.5) on each axis. They may lie outside."""
    index = geometry.map_reference_to_indices(np.asarray(positions_mm, dtype=np.float64))
    return np.floor(index + 0.5).astype(np.intp)


def ball_offsets(radius_vox: float) -> Indices:
    """Returns the offsets [N, 3] of all voxels whose squared distance from a voxel is at most the squared radius."""
    reach = int(np.floor(radius_vox))
    axis = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    ball: Indices = offsets[(offsets**2).sum(axis=1) <= radius_vox**2]
    return ball


def inside(voxels: Indices, shape: Sequence[int]) -> tuple[Indices, ...]:
    """Returns the index of those voxels [N, 3] that lie in an array."""
    kept = voxels[((voxels >= 0) & (voxels < shape)).all(axis=1)]
    return tuple(kept.T)
