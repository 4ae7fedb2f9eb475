"""Statistics of the scores over all cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from clickseg.evaluation.evaluate import EvaluatedCase
from clickseg.evaluation.scores import Curve, StepCost

DICE_TARGETS = (0.8, 0.85, 0.9)
"""The Dice coefficients for which the number of clicks (NoC) is reported."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of a value over cases.

    Attributes:
        mean: The mean.
        median: The median.
        q1: The first quartile.
        q3: The third quartile.
    """

    mean: float
    median: float
    q1: float
    q3: float


@dataclass(frozen=True, slots=True)
class StepSummary:
    """The scores of all cases after a step.

    Attributes:
        step: The number of the step; 0 before the first click.
        clicks: The number of clicks so far.
        dice: The Dice coefficient.
        nsd: Normalized surface Dice.
        fpv_ml: The false positive volume.
        fnv_ml: The false negative volume.
        seconds: The time that the step took.
        windows: The number of windows that the network ran on in the step.
    """

    step: int
    clicks: Distribution
    dice: Distribution
    nsd: Distribution
    fpv_ml: Distribution
    fnv_ml: Distribution
    seconds: Distribution
    windows: Distribution


@dataclass(frozen=True, slots=True)
class NumberOfClicks:
    """The number of clicks (NoC) until Dice first reaches a target.

    Attributes:
        dice: The target.
        reached: The number of cases that reached it.
        case_count: The number of all cases.
        median: The median number of clicks over all cases; None if half of the cases or more never reached the target.
    """

    dice: float
    reached: int
    case_count: int
    median: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The scores of a method for a class, over the cases of a modality.

    Attributes:
        modality: The modality, as in ``EvaluatedCase``.
        method: The name of the method.
        label: The name of the class.
        case_count: The number of cases.
        steps: The scores after each step.
        dice_auc: The area under Dice, from 0 to 1.
        nsd_auc: The area under normalized surface Dice, from 0 to 1.
        noc: The number of clicks until Dice first reaches each of ``DICE_TARGETS``.
        seconds: The time of a step, over the steps with clicks of all cases.
        windows: The number of windows of a step, over the same steps.
    """

    modality: str
    method: str
    label: str
    case_count: int
    steps: tuple[StepSummary, ...]
    dice_auc: Distribution
    nsd_auc: Distribution
    noc: tuple[NumberOfClicks, ...]
    seconds: Distribution
    windows: Distribution


def summarize(cases: Sequence[EvaluatedCase]) -> tuple[Summary, ...]:
    """Returns a summary for each modality, method and class, in the order in which the cases contain them."""
    groups: dict[tuple[str, str, str], list[Curve]] = {}
    for case in cases:
        for curve in case.curves:
            groups.setdefault((case.modality, curve.method, curve.label), []).append(curve)
    return tuple(_summarize_group(modality, curves) for (modality, _, _), curves in groups.items())


def compute_distribution(values: Sequence[float]) -> Distribution:
    """Returns the distribution of at least one value."""
    q1, median, q3 = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return Distribution(float(np.mean(values)), median, q1, q3)


def _summarize_group(modality: str, curves: Sequence[Curve]) -> Summary:
    first = curves[0]
    costs = [cost for curve in curves for cost in _click_costs(curve)] or [StepCost()]
    return Summary(
        modality,
        first.method,
        first.label,
        len(curves),
        tuple(_summarize_step(curves, step) for step in range(len(first.scores))),
        compute_distribution([curve.dice_auc for curve in curves]),
        compute_distribution([curve.nsd_auc for curve in curves]),
        tuple(_number_of_clicks(curves, dice) for dice in DICE_TARGETS),
        compute_distribution([cost.seconds for cost in costs]),
        compute_distribution([cost.windows for cost in costs]),
    )


def _click_costs(curve: Curve) -> list[StepCost]:
    """Returns the costs of the steps with clicks."""
    return [score.cost for previous, score in pairwise(curve.scores) if score.clicks > previous.clicks]


def _summarize_step(curves: Sequence[Curve], step: int) -> StepSummary:
    scores = [curve.scores[step] for curve in curves]
    return StepSummary(
        step,
        clicks=compute_distribution([score.clicks for score in scores]),
        dice=compute_distribution([score.metrics.dice for score in scores]),
        nsd=compute_distribution([score.metrics.nsd for score in scores]),
        fpv_ml=compute_distribution([score.metrics.fpv_ml for score in scores]),
        fnv_ml=compute_distribution([score.metrics.fnv_ml for score in scores]),
        seconds=compute_distribution([score.cost.seconds for score in scores]),
        windows=compute_distribution([score.cost.windows for score in scores]),
    )


def _number_of_clicks(curves: Sequence[Curve], dice: float) -> NumberOfClicks:
    """Returns the NoC of a Dice target; a case that never reached the target has more clicks than any other."""
    counts = [curve.number_of_clicks(dice) for curve in curves]
    clicks = sorted(math.inf if count is None else count for count in counts)
    reached = sum(math.isfinite(count) for count in clicks)
    median = (clicks[(len(clicks) - 1) // 2] + clicks[len(clicks) // 2]) / 2
    return NumberOfClicks(dice, reached, len(curves), median if math.isfinite(median) else None)
