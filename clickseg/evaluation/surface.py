"""Normalized surface Dice: which part of two surfaces lies within a tolerance of the other (Nikolov et al. 2018)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from surface_distance import compute_surface_distances

from clickseg.clicks.simulated.regions import Regions
from clickseg.core.arrays import Box, Mask

TOLERANCE_MM: Final = 2.0
"""That of the CVPR 2025 challenge."""

_LEAST_BLOCK = 8
"""How many voxels a block has along each axis at least, so that there are not too many."""


def surface_dice(truth: Mask, found: Mask, spacing: tuple[float, ...], tolerance_mm: float = TOLERANCE_MM) -> float:
    """Returns the normalized surface Dice of two masks; 1 where both are empty.

    Surfaces that lie farther apart than the tolerance do not see each other, so that each neighbourhood is looked at
    by itself: no distance transform of a whole body is needed.

    Args:
        truth: What is there.
        found: What was found.
        spacing: The distance of voxels along each axis, in mm.
        tolerance_mm: How far apart surfaces may be that count as the same.
    """
    near = total = 0.0
    for box, own in _neighbourhoods(truth | found, spacing, tolerance_mm):
        close, area = _areas(truth[box] & own, found[box] & own, spacing, tolerance_mm)
        near, total = near + close, total + area
    return near / total if total else 1.0


def _neighbourhoods(mask: Mask, spacing: tuple[float, ...], tolerance_mm: float) -> Iterator[tuple[Box, Mask]]:
    """Yields boxes, and which voxels in them belong together: those of others are farther apart than the tolerance.

    The volume is divided into blocks that are wider than the tolerance; what belongs together lies in blocks that
    touch.
    """
    sizes = [max(math.ceil(tolerance_mm / step) + 1, _LEAST_BLOCK) for step in spacing]
    blocks = Regions(_occupied(mask, sizes))
    for number in range(1, len(blocks) + 1):
        region = blocks.region(number)
        i, j, k = (
            slice(part.start * size, min(part.stop * size, count))
            for part, size, count in zip(region.box, sizes, mask.shape, strict=True)
        )
        own = region.mask
        for axis, size in enumerate(sizes):
            own = own.repeat(size, axis)
        yield (i, j, k), own[: i.stop - i.start, : j.stop - j.start, : k.stop - k.start]


def _occupied(mask: Mask, sizes: list[int]) -> Mask:
    """Returns which blocks hold a voxel of a mask."""
    for axis, size in enumerate(sizes):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], size), axis)
    return mask


def _areas(truth: Mask, found: Mask, spacing: tuple[float, ...], tolerance_mm: float) -> tuple[float, float]:
    """Returns the area of both surfaces that lies within the tolerance of the other one, and all of it."""
    if not (truth.any() and found.any()):
        there = _distances(truth | found, truth | found, spacing)
        return 0.0, float(there["surfel_areas_gt"].sum())
    distances = _distances(truth, found, spacing)
    pairs = (("distances_gt_to_pred", "surfel_areas_gt"), ("distances_pred_to_gt", "surfel_areas_pred"))
    near = sum(float(distances[areas][distances[far] <= tolerance_mm].sum()) for far, areas in pairs)
    return near, sum(float(distances[areas].sum()) for _, areas in pairs)


def _distances(truth: Mask, found: Mask, spacing: tuple[float, ...]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it names functions of SciPy by where they were
        distances: dict[str, Any] = compute_surface_distances(
            np.ascontiguousarray(truth), np.ascontiguousarray(found), spacing
        )
    return distances
