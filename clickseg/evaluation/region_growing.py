"""The baseline that needs no model: region growing at 41 % of SUVmax, as PET workstations offer it."""

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
from clickseg.evaluation.scores import REGION_GROWING, Curve, Effort
from clickseg.evaluation.trial import ClassClick, trial_of
from clickseg.models.spec import ModelSpec

SHARE: Final = 0.41
RADIUS_MM: Final = 15.0
"""How far from a click SUVmax is looked for."""


class RegionGrowing:
    """Regions around foreground clicks; it takes background clicks, and learns nothing from them.

    A region is all that is connected to a click, or to the hottest voxel at most ``RADIUS_MM`` from it, and has at
    least ``SHARE`` of that voxel's value.
    """

    def __init__(self, image: LabelledImage) -> None:
        """Finds nothing yet.

        Args:
            image: The PET.
        """
        self._values = image.volume.array
        self._spacing = image.volume.spacing
        self._found: dict[int, Mask] = {}

    def start(self) -> Effort:
        """Finds nothing without a click."""
        return Effort()

    def take(self, clicks: Sequence[ClassClick]) -> Effort:
        """Grows a region around each foreground click."""
        start = time.perf_counter()
        for number, click in clicks:
            if click.polarity is Polarity.FOREGROUND:
                self._found[number] = self.found(number) | self._grown(click.voxel)
        return Effort(time.perf_counter() - start)

    def found(self, number: int) -> Mask:
        """Returns the regions of a class."""
        return self._found.get(number, np.zeros(self._values.shape, dtype=bool))

    def _grown(self, voxel: Triple) -> Mask:
        hottest = self._hottest_near(voxel)
        is_hot = self._values >= SHARE * float(self._values[hottest])
        numbers, _ = ndimage.label(is_hot)  # voxels of a region share a face
        grown: Mask = is_hot & np.isin(numbers, [numbers[voxel], numbers[hottest]])
        return grown

    def _hottest_near(self, voxel: Triple) -> Triple:
        box = self._around(voxel)
        i, j, k = np.ix_(
            *(
                ((np.arange(part.start, part.stop) - index) * step) ** 2
                for part, index, step in zip(box, voxel, self._spacing, strict=True)
            )
        )
        near = np.where(i + j + k <= RADIUS_MM**2, self._values[box], -math.inf)
        place = np.unravel_index(int(near.argmax()), near.shape)
        first, second, third = (int(index) + part.start for index, part in zip(place, box, strict=True))
        return first, second, third

    def _around(self, voxel: Triple) -> Box:
        """Returns a box that holds all that is near a voxel."""
        reach = [int(RADIUS_MM // step) for step in self._spacing]
        i, j, k = (
            slice(max(index - by, 0), min(index + by + 1, count))
            for index, by, count in zip(voxel, reach, self._values.shape, strict=True)
        )
        return i, j, k


def grow_regions(case: LabelledCase, spec: ModelSpec, protocol: Protocol) -> tuple[Curve, ...]:
    """Returns how well region growing does in a case, with the clicks that the protocol's user makes into its results.

    Args:
        case: The case; there are no curves where its first image is no PET.
        spec: The model that it is compared with, whose classes are found.
        protocol: The protocol.
    """
    image = case.images[0]
    if image.unit != "SUVbw":
        return ()
    return trial_of(case, spec, protocol).play(RegionGrowing(image), REGION_GROWING, no_progress)
