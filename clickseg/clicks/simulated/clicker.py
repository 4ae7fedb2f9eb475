"""Simulated users, who click into errors of a prediction, or by the ground truth alone, with errors of position.

Voxels are indices [I, J, K] of the arrays that a function receives. All random choices use the generator that it
receives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, cycle, islice

import numpy as np

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.regions import DepthFunction, Region, Regions, Spacing, depth_on_host
from clickseg.core.arrays import Box, FloatArray, Mask, Triple
from clickseg.core.errors import ClickError

_UNIT_SPACING: Spacing = (1.0, 1.0, 1.0)


class VoxelChoice(str, Enum):
    """How a voxel of a mask is chosen.

    ``largest``: the deepest voxel of the largest region. ``depth``: a random region, weighted by size, and in it a
    random voxel, weighted by depth. ``uniform``: a random voxel, all with the same probability.
    """

    LARGEST = "largest"
    DEPTH = "depth"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class SimulatedClick:
    """A simulated click.

    Attributes:
        voxel: The clicked voxel.
        polarity: Foreground or background.
    """

    voxel: Triple
    polarity: Polarity


@dataclass(frozen=True, slots=True)
class Clicker:
    """A simulated user.

    Attributes:
        choice: How the clicked voxel is chosen.
        spacing: The voxel spacing along each axis in mm, for the computation of depth.
        depth: The function that computes depth.
    """

    choice: VoxelChoice
    spacing: Spacing = _UNIT_SPACING
    depth: DepthFunction = depth_on_host

    def corrective_clicks(self, truth: Mask, prediction: Mask, rng: np.random.Generator) -> tuple[SimulatedClick, ...]:
        """Returns a foreground click into false negatives and a background click into false positives (SW-FastEdit).

        A click is missing if there are no such voxels.
        """
        return self._click_both(truth & ~prediction, prediction & ~truth, rng)

    def non_corrective_clicks(self, truth: Mask, rng: np.random.Generator) -> tuple[SimulatedClick, ...]:
        """Returns a foreground click and a background click by the ground truth alone, not by a prediction."""
        return self._click_both(truth, ~truth, rng)

    def patch_based_clicks(
        self, truth: Mask, prediction: Mask, patch: Triple, rng: np.random.Generator
    ) -> tuple[SimulatedClick, ...]:
        """Returns corrective clicks in the patch with the lowest Dice coefficient; among equals, with the most errors.

        Args:
            truth: The ground truth.
            prediction: The predicted segmentation.
            patch: The size of the patches, which are adjacent. The last patches along an axis may be smaller.
            rng: The generator of random choices.
        """
        boxes = [box for box in _split_into_patches(truth.shape, patch) if (truth[box] != prediction[box]).any()]
        if not boxes:
            return ()
        worst = min(boxes, key=lambda box: _dice_and_negative_errors(truth[box], prediction[box]))
        origin = [axis_range.start for axis_range in worst]
        clicks = self.corrective_clicks(truth[worst], prediction[worst], rng)
        return tuple(SimulatedClick(_add_offset(click.voxel, origin), click.polarity) for click in clicks)

    def largest_error_click(self, truth: Mask, prediction: Mask, rng: np.random.Generator) -> SimulatedClick | None:
        """Returns a click into the largest region of wrong voxels (CVPR 2025, interactive), or None without errors.

        The region may contain false negatives and false positives. The polarity is the ground truth of the voxel.
        """
        voxel = self._choose(truth != prediction, rng)
        return None if voxel is None else SimulatedClick(voxel, _to_polarity(bool(truth[voxel])))

    def choose_voxel(self, mask: Mask, rng: np.random.Generator) -> Triple:
        """Chooses a voxel of a mask, which must not be empty."""
        voxel = self._choose(mask, rng)
        if voxel is None:
            raise ClickError("cannot click into an empty mask: expected a mask with at least one voxel")
        return voxel

    def _click_both(self, foreground: Mask, background: Mask, rng: np.random.Generator) -> tuple[SimulatedClick, ...]:
        masks = ((foreground, Polarity.FOREGROUND), (background, Polarity.BACKGROUND))
        voxels = [(self._choose(mask, rng), polarity) for mask, polarity in masks]
        return tuple(SimulatedClick(voxel, polarity) for voxel, polarity in voxels if voxel is not None)

    def _choose(self, mask: Mask, rng: np.random.Generator) -> Triple | None:
        if not mask.any():
            return None
        if self.choice is VoxelChoice.UNIFORM:
            return _to_triple(np.unravel_index(rng.choice(np.flatnonzero(mask)), mask.shape))
        regions = Regions(mask)
        if self.choice is VoxelChoice.LARGEST:
            return self._choose_deepest(regions.region(regions.largest_number), rng)
        number = 1 + int(rng.choice(len(regions), p=regions.voxel_counts / regions.voxel_counts.sum()))
        return self._choose_by_depth(regions.region(number), rng)

    def _choose_deepest(self, region: Region, rng: np.random.Generator) -> Triple:
        distances = self.depth(region.mask, self.spacing)
        deepest = np.argwhere(distances == distances.max())
        return _add_offset(_to_triple(deepest[rng.integers(len(deepest))]), region.origin)

    def _choose_by_depth(self, region: Region, rng: np.random.Generator) -> Triple:
        weights = self.depth(region.mask, self.spacing).ravel().astype(np.float64)
        voxel = np.unravel_index(rng.choice(weights.size, p=weights / weights.sum()), region.mask.shape)
        return _add_offset(_to_triple(voxel), region.origin)


def spread_voxels(mask: Mask, count: int, rng: np.random.Generator) -> tuple[Triple, ...]:
    """Returns the centres of random regions, then voxels at the borders of these regions in turn.

    The clicks do not depend on a prediction (autoPET IV).

    Args:
        mask: The mask that is clicked into [I, J, K].
        count: The number of voxels. If the mask is empty, no voxels are returned.
        rng: The generator that chooses the regions, their order, and the voxels at their borders.
    """
    regions = Regions(mask)
    if not len(regions):
        return ()
    indices = rng.choice(len(regions), size=min(count, len(regions)), replace=False)
    chosen = [regions.region(1 + int(index)) for index in indices]
    centres = (_find_centre(region) for region in chosen)
    borders = (_choose_border_voxel(region, rng) for region in cycle(chosen))
    return tuple(islice(chain(centres, borders), count))


@dataclass(frozen=True, slots=True)
class ClickNoise:
    """Errors in the position of clicks.

    About a quarter of the clicks of annotators are outside the structure that they mark. Simulated users without such
    errors overestimate the Dice coefficient by 7 to 9 points (Marinov et al., arXiv 2404.01816).

    Attributes:
        jitter_mm: The standard deviation of the position error along each axis.
        outside_probability: The probability that a click is just outside the border instead.
    """

    jitter_mm: float = 0.0
    outside_probability: float = 0.0

    def apply(self, click: SimulatedClick, truth: Mask, spacing: Spacing, rng: np.random.Generator) -> SimulatedClick:
        """Moves a click by a random error. The click stays within the volume.

        Args:
            click: The click without error.
            truth: The ground truth [I, J, K].
            spacing: The voxel spacing along each axis in mm.
            rng: The generator of the error.
        """
        if rng.random() < self.outside_probability:
            return replace(click, voxel=_find_voxel_outside(click, truth, spacing, rng))
        offset = rng.normal(0, self.jitter_mm, 3) / np.array(spacing)
        return replace(click, voxel=_clip_to_volume(np.array(click.voxel) + np.rint(offset), truth.shape))


def _split_into_patches(shape: Sequence[int], patch: Triple) -> list[Box]:
    axes = [
        [slice(n, min(n + size, count)) for n in range(0, count, size)]
        for count, size in zip(shape, patch, strict=True)
    ]
    return [(i, j, k) for i in axes[0] for j in axes[1] for k in axes[2]]


def _dice_and_negative_errors(truth: Mask, prediction: Mask) -> tuple[float, int]:
    """Returns the Dice coefficient of a patch, and its negated number of wrong voxels. The worst patch is lowest."""
    dice = 2 * int((truth & prediction).sum()) / int(truth.sum() + prediction.sum())
    return dice, -int((truth != prediction).sum())


def _add_offset(voxel: Triple, offset: Sequence[int]) -> Triple:
    i, j, k = (a + b for a, b in zip(voxel, offset, strict=True))
    return i, j, k


def _to_polarity(is_foreground: bool) -> Polarity:
    return Polarity.FOREGROUND if is_foreground else Polarity.BACKGROUND


def _to_triple(voxel: Sequence[np.integer] | np.ndarray | tuple[np.intp, ...]) -> Triple:
    i, j, k = (int(index) for index in voxel)
    return i, j, k


def _find_centre(region: Region) -> Triple:
    """Returns the deepest voxel; the first of several equally deep voxels."""
    distances = depth_on_host(region.mask, _UNIT_SPACING)
    return _add_offset(_to_triple(np.unravel_index(int(distances.argmax()), distances.shape)), region.origin)


def _choose_border_voxel(region: Region, rng: np.random.Generator) -> Triple:
    """Returns a random voxel among the voxels of the lowest depth."""
    distances = depth_on_host(region.mask, _UNIT_SPACING)
    border = np.argwhere(distances == distances[region.mask].min())
    return _add_offset(_to_triple(border[rng.integers(len(border))]), region.origin)


def _find_voxel_outside(click: SimulatedClick, truth: Mask, spacing: Spacing, rng: np.random.Generator) -> Triple:
    """Returns the first voxel of the other polarity in a random direction, or the last voxel within the volume."""
    direction = rng.normal(size=3)
    step: FloatArray = direction / np.linalg.norm(direction) * min(spacing) / np.array(spacing)
    is_foreground = click.polarity is Polarity.FOREGROUND
    position = np.array(click.voxel, dtype=np.float64)
    while True:
        position = position + step
        voxel = _clip_to_volume(np.rint(position), truth.shape)
        if bool(truth[voxel]) != is_foreground or (np.array(voxel) != np.rint(position)).any():
            return voxel


def _clip_to_volume(voxel: FloatArray, shape: tuple[int, ...]) -> Triple:
    i, j, k = (int(index) for index in np.clip(voxel, 0, np.array(shape) - 1))
    return i, j, k
