"""Where a simulated user clicks: into what is missed or falsely found, or anywhere in what is there; and how far off.

Voxels are those of the volume that is given [I, J, K]; every choice is drawn from the generator that is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, cycle, islice

import numpy as np

from clickseg.clicks.click import Point, Polarity
from clickseg.clicks.simulated.regions import Depth, Region, Regions, depth_on_host
from clickseg.core.arrays import Box, Doubles, Mask, Triple
from clickseg.core.errors import ClickError

_IN_VOXELS: Point = (1.0, 1.0, 1.0)


class Choice(str, Enum):
    """Which voxel of a mask is clicked.

    ``largest``: the deepest of the largest region. ``depth``: a region by its size, in it a voxel by its depth.
    ``uniform``: any.
    """

    LARGEST = "largest"
    DEPTH = "depth"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class VoxelClick:
    """A simulated click.

    Attributes:
        voxel: Where.
        polarity: Whether what is meant is there.
    """

    voxel: Triple
    polarity: Polarity


@dataclass(frozen=True, slots=True)
class Clicker:
    """A simulated user.

    Attributes:
        choice: Which voxel of a region is clicked.
        spacing: The distance of voxels along each axis in mm, by which depth is measured.
        depth: Measures it.
    """

    choice: Choice
    spacing: Point = _IN_VOXELS
    depth: Depth = depth_on_host

    def corrective(self, truth: Mask, found: Mask, rng: np.random.Generator) -> tuple[VoxelClick, ...]:
        """Returns a click into what is missed and one into what is false, as far as there is any (SW-FastEdit)."""
        return self._into(truth & ~found, found & ~truth, rng)

    def non_corrective(self, truth: Mask, rng: np.random.Generator) -> tuple[VoxelClick, ...]:
        """Returns a click into what is there and one beside it, whatever was found."""
        return self._into(truth, ~truth, rng)

    def patch_based(self, truth: Mask, found: Mask, patch: Triple, rng: np.random.Generator) -> tuple[VoxelClick, ...]:
        """Returns corrective clicks in the patch of the lowest Dice coefficient, of equal ones that of the most errors.

        Args:
            truth: What is there.
            found: What was found.
            patch: The size of patches, which lie side by side; the last ones may be smaller.
            rng: Draws the choices.
        """
        boxes = [box for box in _patches(truth.shape, patch) if (truth[box] != found[box]).any()]
        if not boxes:
            return ()
        worst = min(boxes, key=lambda box: _rank(truth[box], found[box]))
        first = [part.start for part in worst]
        clicks = self.corrective(truth[worst], found[worst], rng)
        return tuple(VoxelClick(_moved(click.voxel, first), click.polarity) for click in clicks)

    def largest_error(self, truth: Mask, found: Mask, rng: np.random.Generator) -> VoxelClick | None:
        """Returns a click into the largest region of errors of either kind (CVPR 2025, interactive); None without any.

        The region may hold both kinds; the click is what the truth says of its voxel.
        """
        voxel = self._voxel(truth != found, rng)
        return None if voxel is None else VoxelClick(voxel, _polarity(bool(truth[voxel])))

    def inside(self, mask: Mask, rng: np.random.Generator) -> Triple:
        """Returns a voxel of a mask that has at least one."""
        voxel = self._voxel(mask, rng)
        if voxel is None:
            raise ClickError("a click into nothing: expected a mask with at least one voxel")
        return voxel

    def _into(self, missed: Mask, false: Mask, rng: np.random.Generator) -> tuple[VoxelClick, ...]:
        places = ((self._voxel(missed, rng), Polarity.FOREGROUND), (self._voxel(false, rng), Polarity.BACKGROUND))
        return tuple(VoxelClick(voxel, polarity) for voxel, polarity in places if voxel is not None)

    def _voxel(self, mask: Mask, rng: np.random.Generator) -> Triple | None:
        if not mask.any():
            return None
        if self.choice is Choice.UNIFORM:
            return _triple(np.unravel_index(rng.choice(np.flatnonzero(mask)), mask.shape))
        regions = Regions(mask)
        if self.choice is Choice.LARGEST:
            return self._deepest(regions.region(regions.largest), rng)
        number = 1 + int(rng.choice(len(regions), p=regions.voxels / regions.voxels.sum()))
        return self._by_depth(regions.region(number), rng)

    def _deepest(self, region: Region, rng: np.random.Generator) -> Triple:
        distances = self.depth(region.mask, self.spacing)
        deepest = np.argwhere(distances == distances.max())
        return _moved(_triple(deepest[rng.integers(len(deepest))]), region.first)

    def _by_depth(self, region: Region, rng: np.random.Generator) -> Triple:
        weights = self.depth(region.mask, self.spacing).ravel().astype(np.float64)
        place = np.unravel_index(rng.choice(weights.size, p=weights / weights.sum()), region.mask.shape)
        return _moved(_triple(place), region.first)


def spread(mask: Mask, count: int, rng: np.random.Generator) -> tuple[Triple, ...]:
    """Returns voxels: the centre of each of some regions, then voxels of their borders, region after region.

    They are placed before anything was found (autoPET IV).

    Args:
        mask: Where to click [I, J, K].
        count: How many voxels; there are none where the mask is empty.
        rng: Draws the regions and their order, and the voxels of their borders.
    """
    regions = Regions(mask)
    if not len(regions):
        return ()
    drawn = rng.choice(len(regions), size=min(count, len(regions)), replace=False)
    chosen = [regions.region(1 + int(number)) for number in drawn]
    centres = (_centre(region) for region in chosen)
    borders = (_of_border(region, rng) for region in cycle(chosen))
    return tuple(islice(chain(centres, borders), count))


@dataclass(frozen=True, slots=True)
class Noise:
    """How clicks are off.

    About a quarter of the clicks of annotators lie outside of what they mean, and robots that click perfectly
    overestimate them by 7 to 9 points of Dice (Marinov et al., arXiv 2404.01816).

    Attributes:
        jitter_mm: The standard deviation of the distance along each axis.
        outside: How probable it is that a click lies just outside of the border instead.
    """

    jitter_mm: float = 0.0
    outside: float = 0.0

    def applied(self, click: VoxelClick, truth: Mask, spacing: Point, rng: np.random.Generator) -> VoxelClick:
        """Returns a click that is off; it lies in the volume.

        Args:
            click: Where the click was meant.
            truth: What is there [I, J, K].
            spacing: The distance of voxels along each axis, in mm.
            rng: Draws how it is off.
        """
        if rng.random() < self.outside:
            return replace(click, voxel=_beyond(click, truth, spacing, rng))
        steps = rng.normal(0, self.jitter_mm, 3) / np.array(spacing)
        return replace(click, voxel=_clipped(np.array(click.voxel) + np.rint(steps), truth.shape))


def _patches(shape: Sequence[int], patch: Triple) -> list[Box]:
    axes = [
        [slice(n, min(n + size, count)) for n in range(0, count, size)]
        for count, size in zip(shape, patch, strict=True)
    ]
    return [(i, j, k) for i in axes[0] for j in axes[1] for k in axes[2]]


def _rank(truth: Mask, found: Mask) -> tuple[float, int]:
    """Returns what is lowest for the worst patch: its Dice coefficient, and how many errors it has, negated."""
    dice = 2 * int((truth & found).sum()) / int(truth.sum() + found.sum())
    return dice, -int((truth != found).sum())


def _moved(voxel: Triple, first: Sequence[int]) -> Triple:
    i, j, k = (a + b for a, b in zip(voxel, first, strict=True))
    return i, j, k


def _polarity(is_there: bool) -> Polarity:
    return Polarity.FOREGROUND if is_there else Polarity.BACKGROUND


def _triple(place: Sequence[np.integer] | np.ndarray | tuple[np.intp, ...]) -> Triple:
    i, j, k = (int(index) for index in place)
    return i, j, k


def _centre(region: Region) -> Triple:
    """Returns the deepest voxel, the first of equally deep ones."""
    distances = depth_on_host(region.mask, _IN_VOXELS)
    return _moved(_triple(np.unravel_index(int(distances.argmax()), distances.shape)), region.first)


def _of_border(region: Region, rng: np.random.Generator) -> Triple:
    """Returns any of the least deep voxels."""
    distances = depth_on_host(region.mask, _IN_VOXELS)
    border = np.argwhere(distances == distances[region.mask].min())
    return _moved(_triple(border[rng.integers(len(border))]), region.first)


def _beyond(click: VoxelClick, truth: Mask, spacing: Point, rng: np.random.Generator) -> Triple:
    """Returns the first voxel in a random direction where the truth is another; the last one if there is none."""
    direction = rng.normal(size=3)
    step: Doubles = direction / np.linalg.norm(direction) * min(spacing) / np.array(spacing)
    is_there = click.polarity is Polarity.FOREGROUND
    place = np.array(click.voxel, dtype=np.float64)
    while True:
        place = place + step
        voxel = _clipped(np.rint(place), truth.shape)
        if bool(truth[voxel]) != is_there or (np.array(voxel) != np.rint(place)).any():
            return voxel


def _clipped(place: Doubles, shape: tuple[int, ...]) -> Triple:
    i, j, k = (int(index) for index in np.clip(place, 0, np.array(shape) - 1))
    return i, j, k
