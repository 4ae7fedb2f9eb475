"""autoPET IV, task 1: clicks that were placed before anything was found; step k gives the first k of both kinds.

Foreground clicks lie in up to ten lesions, then on their borders. Background clicks lie likewise in what is hottest
beside them: above the 99.75th percentile of what is no lesion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clickseg.arrays import Mask
from clickseg.boxes import Triple
from clickseg.clicks.click import Polarity
from clickseg.datasets.case import LabelledImage
from clickseg.errors import InputError
from clickseg.evaluation.protocols.protocol import User
from clickseg.simulation.clicker import VoxelClick
from clickseg.simulation.spread import spread

_HOT_PERCENTILE = 99.75


@dataclass(frozen=True, slots=True)
class AutoPet4:
    """The protocol.

    Attributes:
        steps: How many clicks of each kind there are.
        seed: Draws lesions, and voxels of borders.
        counted_from: The area under the curve begins with the result without clicks.
    """

    steps: int = 10
    seed: int = 42
    counted_from: int = 0
    name: str = "autopet4"

    def user(self, truth: Mask, image: LabelledImage) -> User:
        """Returns a user for one class of a case.

        Raises:
            InputError: The image is no PET.
        """
        if image.modality != "PT":
            raise InputError(f"protocol {self.name}: expected PET as the first image, got {image.modality}")
        rng = np.random.default_rng(self.seed)
        foreground = spread(truth, self.steps, rng)
        background = spread(_hot(truth, image), self.steps, rng)

        def clicks(step: int, _found: Mask) -> tuple[VoxelClick, ...]:
            kinds = ((foreground, Polarity.FOREGROUND), (background, Polarity.BACKGROUND))
            return tuple(VoxelClick(voxel, polarity) for voxels, polarity in kinds for voxel in _at(voxels, step))

        return clicks


def _hot(truth: Mask, image: LabelledImage) -> Mask:
    """Returns the hottest voxels that are no lesion."""
    values = image.volume.array
    beside = values[~truth]
    if not beside.size:
        return np.zeros_like(truth)
    hot: Mask = (values > np.percentile(beside, _HOT_PERCENTILE)) & ~truth
    return hot


def _at(voxels: Sequence[Triple], step: int) -> Sequence[Triple]:
    """Returns the voxel of a step, if there is one."""
    return voxels[step - 1 : step]
