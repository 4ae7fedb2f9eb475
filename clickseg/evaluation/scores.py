"""How well a method did in a case, click by click: how far what was found is what is there, for each class.

Nothing found where nothing is there is perfect: Dice and NSD are 1. Something found there is not: both are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import ndimage

from clickseg.core.arrays import Mask
from clickseg.core.label_map import LabelMap

MODEL: Final = "model"

WITHOUT_CLICKS: Final = "model without clicks"

REGION_GROWING: Final = "region growing"

NEIGHBOURS: Final = ndimage.generate_binary_structure(3, 2)
"""Voxels of one component share an edge: as the autoPET challenges have it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far what was found is what is there.

    Attributes:
        dice: The Dice coefficient.
        nsd: Normalized surface Dice at 2 mm; 0 where Dice is at most 0.2, as in the CVPR 2025 challenge.
        fpv_ml: The volume of false components.
        fnv_ml: The volume of components of which nothing was found.
    """

    dice: float
    nsd: float
    fpv_ml: float
    fnv_ml: float


@dataclass(frozen=True, slots=True)
class Effort:
    """What a step cost.

    Attributes:
        seconds: From the clicks to the new label map.
        windows: How many windows were run.
    """

    seconds: float = 0.0
    windows: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """How well a method did after a step.

    Attributes:
        step: How many steps of the protocol there were.
        foreground: How many foreground clicks there were so far.
        background: How many background clicks.
        agreement: How far what was found is what is there.
        effort: What the step cost; all classes are run together.
    """

    step: int
    foreground: int
    background: int
    agreement: Agreement
    effort: Effort

    @property
    def clicks(self) -> int:
        """How many clicks there were so far."""
        return self.foreground + self.background


@dataclass(frozen=True, slots=True)
class Curve:
    """How well a method did for one class of a case.

    Attributes:
        method: What found it.
        label: The class.
        scores: Those before the first click, then those after each step.
        counted_from: The first step that the area under the curve counts.
    """

    method: str
    label: str
    scores: tuple[Score, ...]
    counted_from: int

    @property
    def dice_auc(self) -> float:
        """The area under Dice over the steps that count, over its width: from 0 to 1."""
        return area_under([score.agreement.dice for score in self._counted])

    @property
    def nsd_auc(self) -> float:
        """The same of normalized surface Dice."""
        return area_under([score.agreement.nsd for score in self._counted])

    def clicks_to(self, dice: float) -> int | None:
        """Returns how many clicks there were when a Dice coefficient was first reached; None where it never was."""
        return next((score.clicks for score in self.scores if score.agreement.dice >= dice), None)

    def without_clicks(self) -> Curve:
        """Returns the curve of a user who makes no click."""
        first = self.scores[0]
        still = (replace(first, step=score.step, effort=Effort()) for score in self.scores[1:])
        return replace(self, method=WITHOUT_CLICKS, scores=(first, *still))

    @property
    def _counted(self) -> tuple[Score, ...]:
        return self.scores[self.counted_from :] or self.scores[-1:]


@dataclass(frozen=True, slots=True)
class CaseScores:
    """How well a model did in a case.

    Attributes:
        name: What the case is called.
        curves: One for each class.
        labels: The label map after the last step, on the grid of the truth.
    """

    name: str
    curves: tuple[Curve, ...]
    labels: LabelMap


def dice(truth: Mask, found: Mask) -> float:
    """Returns the Dice coefficient of two masks."""
    voxels = int(np.count_nonzero(truth)) + int(np.count_nonzero(found))
    return 2 * int(np.count_nonzero(truth & found)) / voxels if voxels else 1.0


def false_positive_ml(truth: Mask, found: Mask, voxel_ml: float) -> float:
    """Returns the volume of the components of what was found that lie in nothing that is there (autoPET).

    Args:
        truth: What is there.
        found: What was found.
        voxel_ml: The volume of a voxel.
    """
    return _untouched(found, truth) * voxel_ml


def false_negative_ml(truth: Mask, found: Mask, voxel_ml: float) -> float:
    """Returns the volume of the components of what is there of which nothing was found (autoPET)."""
    return _untouched(truth, found) * voxel_ml


def _untouched(components_of: Mask, other: Mask) -> int:
    """Returns how many voxels the components of a mask have in which no voxel of the other one lies."""
    numbers, count = ndimage.label(components_of, NEIGHBOURS)
    voxels = np.bincount(numbers[components_of], minlength=count + 1)
    voxels[np.unique(numbers[components_of & other])] = 0
    return int(voxels.sum())


def area_under(values: Sequence[float]) -> float:
    """Returns the area under a curve of one value for each click, by the trapezoidal rule, over its width.

    So it is what the values are on average: from 0 to 1 for coefficients. A curve of one value is that value.
    """
    return float(np.trapezoid(values)) / (len(values) - 1) if len(values) > 1 else float(values[0])
