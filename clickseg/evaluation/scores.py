"""The scores of a method in a case, for each class and interaction step.

If both ground truth and prediction are empty, Dice and NSD are 1. If only one of them is empty, both are 0.
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

_CONNECTIVITY_18: Final = ndimage.generate_binary_structure(3, 2)
"""Voxels of a component share a face or an edge, as in the autoPET challenges."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a prediction against the ground truth, for one class.

    Attributes:
        dice: The Dice coefficient (DSC).
        nsd: Normalized surface Dice at 2 mm; 0 if Dice is at most 0.2, as in the CVPR 2025 challenge.
        fpv_ml: False positive volume (FPV): predicted components that do not overlap the ground truth.
        fnv_ml: False negative volume (FNV): ground truth components that do not overlap the prediction.
    """

    dice: float
    nsd: float
    fpv_ml: float
    fnv_ml: float


@dataclass(frozen=True, slots=True)
class StepCost:
    """The computation that a step needed.

    Attributes:
        seconds: The time from the clicks to the new label map.
        windows: The number of windows that the network ran on.
    """

    seconds: float = 0.0
    windows: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a method after an interaction step.

    Attributes:
        step: The number of steps so far; 0 before the first click.
        foreground_clicks: The number of foreground clicks so far.
        background_clicks: The number of background clicks so far.
        metrics: The metrics of the prediction.
        cost: The computation that the step needed, for all classes together.
    """

    step: int
    foreground_clicks: int
    background_clicks: int
    metrics: Metrics
    cost: StepCost

    @property
    def clicks(self) -> int:
        """The number of clicks so far."""
        return self.foreground_clicks + self.background_clicks


@dataclass(frozen=True, slots=True)
class Curve:
    """The scores of a method for one class of a case.

    Attributes:
        method: The name of the method.
        label: The name of the class.
        scores: The score before the first click, then the score after each step.
        auc_from_step: The first step that the area under the curve (AUC) includes.
    """

    method: str
    label: str
    scores: tuple[Score, ...]
    auc_from_step: int

    @property
    def dice(self) -> list[float]:
        """The Dice coefficient before the first click, then after each step."""
        return [score.metrics.dice for score in self.scores]

    @property
    def dice_auc(self) -> float:
        """The area under Dice over the steps, from ``auc_from_step`` on, divided by its width: from 0 to 1."""
        return normalized_auc([score.metrics.dice for score in self._auc_scores])

    @property
    def nsd_auc(self) -> float:
        """The area under normalized surface Dice, in the same way."""
        return normalized_auc([score.metrics.nsd for score in self._auc_scores])

    def number_of_clicks(self, dice: float) -> int | None:
        """Returns the number of clicks (NoC) until Dice first reached a value; None if it never did."""
        return next((score.clicks for score in self.scores if score.metrics.dice >= dice), None)

    def without_clicks(self) -> Curve:
        """Returns the curve of a user who makes no clicks: the first score, repeated for each step."""
        first = self.scores[0]
        repeated = (replace(first, step=score.step, cost=StepCost()) for score in self.scores[1:])
        return replace(self, method=WITHOUT_CLICKS, scores=(first, *repeated))

    @property
    def _auc_scores(self) -> tuple[Score, ...]:
        return self.scores[self.auc_from_step :] or self.scores[-1:]


@dataclass(frozen=True, slots=True)
class CaseScores:
    """The scores of a model in a case.

    Attributes:
        name: The name of the case.
        curves: One for each class.
        labels: The label map after the last step, on the grid of the ground truth.
    """

    name: str
    curves: tuple[Curve, ...]
    labels: LabelMap


def dice(truth: Mask, prediction: Mask) -> float:
    """Returns the Dice coefficient of two masks; 1 if both are empty."""
    total = int(np.count_nonzero(truth)) + int(np.count_nonzero(prediction))
    return 2 * int(np.count_nonzero(truth & prediction)) / total if total else 1.0


def false_positive_volume_ml(truth: Mask, prediction: Mask, voxel_ml: float) -> float:
    """Returns the volume of the predicted components that do not overlap the ground truth (autoPET).

    Args:
        truth: The ground truth.
        prediction: The prediction.
        voxel_ml: The volume of a voxel in ml.
    """
    return _count_unmatched_voxels(prediction, truth) * voxel_ml


def false_negative_volume_ml(truth: Mask, prediction: Mask, voxel_ml: float) -> float:
    """Returns the volume of the ground truth components that do not overlap the prediction (autoPET).

    Args:
        truth: The ground truth.
        prediction: The prediction.
        voxel_ml: The volume of a voxel in ml.
    """
    return _count_unmatched_voxels(truth, prediction) * voxel_ml


def _count_unmatched_voxels(mask: Mask, reference: Mask) -> int:
    """Returns the number of voxels in the components of a mask that do not overlap a reference mask."""
    components, count = ndimage.label(mask, _CONNECTIVITY_18)
    voxels = np.bincount(components[mask], minlength=count + 1)
    voxels[np.unique(components[mask & reference])] = 0
    return int(voxels.sum())


def normalized_auc(values: Sequence[float]) -> float:
    """Returns the area under a curve of equidistant values, by the trapezoidal rule, divided by its width.

    The result has the range of the values: from 0 to 1 for coefficients. The result of a single value is that value.
    """
    return float(np.trapezoid(values)) / (len(values) - 1) if len(values) > 1 else float(values[0])
