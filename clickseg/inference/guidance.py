"""Rasterizes clicks as guidance channels: 1 in the ball of voxels around each click, 0 elsewhere.

Balls are rasterized on the model grid, after resampling, and do not influence each other: a click changes only the
voxels of its own ball, and therefore only the windows that contain one of these voxels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import highdicom as hd
import numpy as np
from numpy.typing import ArrayLike

from clickseg.clicks.click import Click
from clickseg.core.arrays import IndexArray
from clickseg.core.errors import ClickError
from clickseg.models.spec import GuidanceSpec


def rasterize_clicks(
    clicks: Iterable[Click], geometry: hd.VolumeGeometry, guidance: GuidanceSpec, *, is_cropped: bool = False
) -> tuple[IndexArray, ...]:
    """Returns, for each guidance channel, the voxels [N, 3] of the model grid that are 1.

    Args:
        clicks: Clicks with their labels resolved.
        geometry: The model grid.
        guidance: The clicks of each channel, and the radius of the ball in voxels.
        is_cropped: Whether the grid is only a part of the series, for the error message.

    Raises:
        ClickError: A ball has no voxel on the grid: the click is beyond the last slice of a series with thick slices,
            or outside the box that the model sees.
    """
    channel_balls: list[list[IndexArray]] = [[] for _ in guidance.channels]
    for click in clicks:
        ball = _ball_voxels(click, geometry, guidance.radius_vox)
        if not len(ball):
            raise _make_error(click, is_cropped)
        for voxels, channel in zip(channel_balls, guidance.channels, strict=True):
            if (click.label, click.polarity) in channel.takes:
                voxels.append(ball)
    no_voxels = np.empty((0, 3), dtype=np.intp)
    return tuple(np.concatenate([no_voxels, *voxels]) for voxels in channel_balls)


def positions_to_voxels(positions_mm: ArrayLike, geometry: hd.VolumeGeometry | hd.Volume) -> IndexArray:
    """Returns the voxels [N, 3] nearest to LPS positions [N, 3]: floor(x + 0.5) per axis; they may be off the grid."""
    index = geometry.map_reference_to_indices(np.asarray(positions_mm, dtype=np.float64))
    return np.floor(index + 0.5).astype(np.intp)


def ball_offsets(radius_vox: float) -> IndexArray:
    """Returns the offsets [N, 3] of all voxels at most a radius (in voxels) from a voxel."""
    reach = int(np.floor(radius_vox))
    axis = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    ball: IndexArray = offsets[(offsets**2).sum(axis=1) <= radius_vox**2]
    return ball


def voxels_inside(voxels: IndexArray, shape: Sequence[int]) -> IndexArray:
    """Returns the voxels [N, 3] that are inside an array of a shape."""
    voxels_in_array: IndexArray = voxels[((voxels >= 0) & (voxels < shape)).all(axis=1)]
    return voxels_in_array


def _ball_voxels(click: Click, geometry: hd.VolumeGeometry, radius_vox: float) -> IndexArray:
    ball = positions_to_voxels([click.position_mm], geometry) + ball_offsets(radius_vox)
    return voxels_inside(ball, geometry.spatial_shape)


def _make_error(click: Click, is_cropped: bool) -> ClickError:
    position = ", ".join(f"{value:.1f}" for value in click.position_mm)
    subject = f"the {click.polarity.value} click of {click.label!r} at ({position}) mm is"
    if is_cropped:
        return ClickError(
            f"{subject} outside the part of the series that the model sees, and would have no effect",
            hint="the model crops the series to its foreground: see crop in docs/model-packages.md",
        )
    return ClickError(
        f"{subject} beyond the centre of the outermost slice, where the model grid ends",
        hint="place the click nearer to the centre of the outermost slice",
    )
