"""A baseline without a model: region growing at 41 % of SUVmax, as PET workstations offer it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import ndimage

from clickseg.clicks.click import Polarity
from clickseg.core.arrays import Box, Mask, Triple
from clickseg.core.progress import no_progress
from clickseg.datasets.case import LabelledCase, LabelledImage
from clickseg.evaluation.protocols import Protocol
from clickseg.evaluation.scores import REGION_GROWING, Curve, StepCost
from clickseg.evaluation.trial import ClassClick, make_trial
from clickseg.models.spec import ModelSpec

THRESHOLD: Final = 0.41
"""The threshold of a region, as a fraction of its SUVmax."""

RADIUS_MM: Final = 15.0
"""The radius around a click in which SUVmax is searched."""


class RegionGrowing:
    """Regions around foreground clicks; background clicks are ignored.

    SUVmax is the value of the hottest voxel at most ``RADIUS_MM`` from the click. A region has all voxels of at least
    ``THRESHOLD`` times SUVmax that are connected to the click or to the hottest voxel.
    """

    def __init__(self, image: LabelledImage) -> None:
        """Begins with an empty prediction.

        Args:
            image: The PET image.
        """
        self._values = image.volume.array
        self._spacing = image.volume.spacing
        self._masks: dict[int, Mask] = {}

    def start(self) -> StepCost:
        """Does nothing: without clicks the prediction is empty."""
        return StepCost()

    def add_clicks(self, clicks: Sequence[ClassClick]) -> StepCost:
        """Grows a region around each foreground click."""
        start = time.perf_counter()
        for number, click in clicks:
            if click.polarity is Polarity.FOREGROUND:
                self._masks[number] = self.mask(number) | self._grow_region(click.voxel)
        return StepCost(time.perf_counter() - start)

    def mask(self, number: int) -> Mask:
        """Returns the union of the regions of a class."""
        return self._masks.get(number, np.zeros(self._values.shape, dtype=bool))

    def _grow_region(self, voxel: Triple) -> Mask:
        hottest = self._hottest_voxel_near(voxel)
        is_hot = self._values >= THRESHOLD * float(self._values[hottest])
        components, _ = ndimage.label(is_hot)  # voxels of a region share a face
        region: Mask = is_hot & np.isin(components, [components[voxel], components[hottest]])
        return region

    def _hottest_voxel_near(self, voxel: Triple) -> Triple:
        box = self._search_box(voxel)
        i, j, k = np.ix_(
            *(
                ((np.arange(part.start, part.stop) - index) * step) ** 2
                for part, index, step in zip(box, voxel, self._spacing, strict=True)
            )
        )
        near = np.where(i + j + k <= RADIUS_MM**2, self._values[box], -math.inf)
        offset = np.unravel_index(int(near.argmax()), near.shape)
        first, second, third = (int(index) + part.start for index, part in zip(offset, box, strict=True))
        return first, second, third

    def _search_box(self, voxel: Triple) -> Box:
        """Returns a box that contains all voxels at most ``RADIUS_MM`` from a voxel."""
        reach = [int(RADIUS_MM // step) for step in self._spacing]
        i, j, k = (
            slice(max(index - margin, 0), min(index + margin + 1, count))
            for index, margin, count in zip(voxel, reach, self._values.shape, strict=True)
        )
        return i, j, k


def evaluate_region_growing(case: LabelledCase, spec: ModelSpec, protocol: Protocol) -> tuple[Curve, ...]:
    """Returns the curves of region growing in a case; the simulated user clicks into the errors of region growing.

    Args:
        case: The case. If its first image is not a PET image in SUVbw, there are no curves.
        spec: The model for comparison, which defines the classes.
        protocol: The protocol.
    """
    image = case.images[0]
    if image.unit != "SUVbw":
        return ()
    return make_trial(case, spec, protocol).run(RegionGrowing(image), REGION_GROWING, no_progress)
