"""What all cases say together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from clickseg.evaluation.evaluate import Evaluated
from clickseg.evaluation.scores import Curve, Effort

DICE_GOALS = (0.8, 0.85, 0.9)
"""Dice coefficients to which clicks are counted."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread over cases.

    Attributes:
        mean: Their mean.
        median: Their median.
        lower: Their first quartile.
        upper: Their third quartile.
    """

    mean: float
    median: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class StepSpread:
    """How cases did after a step.

    Attributes:
        step: Which one; 0 before the first click.
        clicks: How many clicks there were so far.
        dice: The Dice coefficient.
        nsd: Normalized surface Dice.
        fpv_ml: The false positive volume.
        fnv_ml: The false negative volume.
        seconds: How long the step took.
        windows: How many windows were run.
    """

    step: int
    clicks: Spread
    dice: Spread
    nsd: Spread
    fpv_ml: Spread
    fnv_ml: Spread
    seconds: Spread
    windows: Spread


@dataclass(frozen=True, slots=True)
class Goal:
    """How many clicks it takes to a Dice coefficient.

    Attributes:
        dice: The Dice coefficient.
        reached: In how many cases it was reached.
        cases: Of how many.
        median: The median number of clicks, over all cases; None where half of them or more never reached it.
    """

    dice: float
    reached: int
    cases: int
    median: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """How well a method does for a class in images of a modality.

    Attributes:
        modality: The modality, as ``Evaluated`` says it.
        method: The method.
        label: The class.
        cases: In how many cases it was tried.
        steps: How they did after each step.
        dice_auc: The area under Dice, from 0 to 1.
        nsd_auc: The area under normalized surface Dice.
        goals: How many clicks it takes.
        seconds: How long a step took in which there were clicks, over all cases and steps.
        windows: How many windows were run in it.
    """

    modality: str
    method: str
    label: str
    cases: int
    steps: tuple[StepSpread, ...]
    dice_auc: Spread
    nsd_auc: Spread
    goals: tuple[Goal, ...]
    seconds: Spread
    windows: Spread


def summarized(cases: Sequence[Evaluated]) -> tuple[Summary, ...]:
    """Returns how well each method does for each class in each modality, in the order of the first cases."""
    groups: dict[tuple[str, str, str], list[Curve]] = {}
    for case in cases:
        for curve in case.curves:
            groups.setdefault((case.modality, curve.method, curve.label), []).append(curve)
    return tuple(_summary(modality, curves) for (modality, _, _), curves in groups.items())


def spread_of(values: Sequence[float]) -> Spread:
    """Returns how some values are spread; at least one."""
    lower, median, upper = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return Spread(float(np.mean(values)), median, lower, upper)


def _summary(modality: str, curves: Sequence[Curve]) -> Summary:
    first = curves[0]
    efforts = [effort for curve in curves for effort in _efforts(curve)] or [Effort()]
    return Summary(
        modality,
        first.method,
        first.label,
        len(curves),
        tuple(_step(curves, step) for step in range(len(first.scores))),
        spread_of([curve.dice_auc for curve in curves]),
        spread_of([curve.nsd_auc for curve in curves]),
        tuple(_goal(curves, dice) for dice in DICE_GOALS),
        spread_of([effort.seconds for effort in efforts]),
        spread_of([effort.windows for effort in efforts]),
    )


def _efforts(curve: Curve) -> list[Effort]:
    """Returns what the steps cost in which there were clicks."""
    return [score.effort for before, score in pairwise(curve.scores) if score.clicks > before.clicks]


def _step(curves: Sequence[Curve], step: int) -> StepSpread:
    scores = [curve.scores[step] for curve in curves]
    return StepSpread(
        step,
        clicks=spread_of([score.clicks for score in scores]),
        dice=spread_of([score.agreement.dice for score in scores]),
        nsd=spread_of([score.agreement.nsd for score in scores]),
        fpv_ml=spread_of([score.agreement.fpv_ml for score in scores]),
        fnv_ml=spread_of([score.agreement.fnv_ml for score in scores]),
        seconds=spread_of([score.effort.seconds for score in scores]),
        windows=spread_of([score.effort.windows for score in scores]),
    )


def _goal(curves: Sequence[Curve], dice: float) -> Goal:
    """Returns a goal; who never reached it took more clicks than anybody who did."""
    clicks = sorted(math.inf if (found := curve.clicks_to(dice)) is None else found for curve in curves)
    reached = sum(math.isfinite(count) for count in clicks)
    middle = (clicks[(len(clicks) - 1) // 2] + clicks[len(clicks) // 2]) / 2
    return Goal(dice, reached, len(curves), middle if math.isfinite(middle) else None)
