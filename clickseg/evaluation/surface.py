"""Normalized surface Dice: the fraction of two surfaces that is close to the other surface (Nikolov et al. 2018)."""

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
"""The tolerance of the CVPR 2025 challenge."""

_MIN_BLOCK_VOXELS = 8
"""The smallest size of a block along each axis; it limits the number of blocks."""


def surface_dice(
    truth: Mask, prediction: Mask, spacing: tuple[float, ...], tolerance_mm: float = TOLERANCE_MM
) -> float:
    """Returns the normalized surface Dice of two masks; 1 if both are empty.

    Surfaces that are farther apart than the tolerance do not affect each other. So each neighbourhood is processed
    separately, without a distance transform of the entire volume.

    Args:
        truth: The ground truth.
        prediction: The prediction.
        spacing: The voxel spacing along each axis, in mm.
        tolerance_mm: The largest distance at which surfaces are treated as equal.
    """
    near = total = 0.0
    for box, members in _neighbourhoods(truth | prediction, spacing, tolerance_mm):
        box_near, box_total = _surface_areas(truth[box] & members, prediction[box] & members, spacing, tolerance_mm)
        near, total = near + box_near, total + box_total
    return near / total if total else 1.0


def _neighbourhoods(mask: Mask, spacing: tuple[float, ...], tolerance_mm: float) -> Iterator[tuple[Box, Mask]]:
    """Yields the box of each neighbourhood, and the voxels of the box that belong to the neighbourhood.

    Voxels of different neighbourhoods are farther apart than the tolerance. The volume is divided into blocks that are
    wider than the tolerance; a neighbourhood is a connected component of the blocks that contain voxels of the mask.
    """
    sizes = [max(math.ceil(tolerance_mm / step) + 1, _MIN_BLOCK_VOXELS) for step in spacing]
    blocks = Regions(_nonempty_blocks(mask, sizes))
    for number in range(1, len(blocks) + 1):
        region = blocks.region(number)
        i, j, k = (
            slice(part.start * size, min(part.stop * size, count))
            for part, size, count in zip(region.box, sizes, mask.shape, strict=True)
        )
        members = region.mask
        for axis, size in enumerate(sizes):
            members = members.repeat(size, axis)
        yield (i, j, k), members[: i.stop - i.start, : j.stop - j.start, : k.stop - k.start]


def _nonempty_blocks(mask: Mask, sizes: list[int]) -> Mask:
    """Returns which blocks contain a voxel of a mask."""
    for axis, size in enumerate(sizes):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], size), axis)
    return mask


def _surface_areas(
    truth: Mask, prediction: Mask, spacing: tuple[float, ...], tolerance_mm: float
) -> tuple[float, float]:
    """Returns the area of both surfaces that is within the tolerance of the other surface, and the total area."""
    if not (truth.any() and prediction.any()):
        union = truth | prediction
        return 0.0, float(_surface_distances(union, union, spacing)["surfel_areas_gt"].sum())
    distances = _surface_distances(truth, prediction, spacing)
    pairs = (("distances_gt_to_pred", "surfel_areas_gt"), ("distances_pred_to_gt", "surfel_areas_pred"))
    near = sum(float(distances[areas][distances[key] <= tolerance_mm].sum()) for key, areas in pairs)
    return near, sum(float(distances[areas].sum()) for _, areas in pairs)


def _surface_distances(truth: Mask, prediction: Mask, spacing: tuple[float, ...]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library uses old names of SciPy functions
        distances: dict[str, Any] = compute_surface_distances(
            np.ascontiguousarray(truth), np.ascontiguousarray(prediction), spacing
        )
    return distances
