"""Clicks as people make them: beside the place that was meant, and now and then just outside of the border.

About a quarter of the clicks of annotators lie outside of what they mean, and robots that click perfectly overestimate
them by 7 to 9 points of Dice (Marinov et al., arXiv 2404.01816).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clickseg.arrays import Doubles, Mask
from clickseg.boxes import Triple
from clickseg.clicks.click import Point, Polarity
from clickseg.simulation.clicker import VoxelClick


@dataclass(frozen=True, slots=True)
class Noise:
    """How clicks are off.

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
        return replace(click, voxel=_inside(np.array(click.voxel) + np.rint(steps), truth.shape))


def _beyond(click: VoxelClick, truth: Mask, spacing: Point, rng: np.random.Generator) -> Triple:
    """Returns the first voxel in a random direction where the truth is another; the last one if there is none."""
    direction = rng.normal(size=3)
    step: Doubles = direction / np.linalg.norm(direction) * min(spacing) / np.array(spacing)
    is_there = click.polarity is Polarity.FOREGROUND
    place = np.array(click.voxel, dtype=np.float64)
    while True:
        place = place + step
        voxel = _inside(np.rint(place), truth.shape)
        if bool(truth[voxel]) != is_there or (np.array(voxel) != np.rint(place)).any():
            return voxel


def _inside(place: Doubles, shape: tuple[int, ...]) -> Triple:
    i, j, k = (int(index) for index in np.clip(place, 0, np.array(shape) - 1))
    return i, j, k
