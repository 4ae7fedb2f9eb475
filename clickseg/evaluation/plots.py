"""Plots: Dice over clicks, and how each case did after each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clickseg.core.text import printable
from clickseg.evaluation.evaluate import Evaluated
from clickseg.evaluation.picture import png
from clickseg.evaluation.scores import MODEL, Curve
from clickseg.evaluation.summary import Summary

_NAMED: Final = 150
"""Up to how many rows of the heat map are named."""

_LONGEST_NAME = 40


def draw_dice(summaries: Sequence[Summary]) -> bytes:
    """Returns a PNG of the median Dice coefficient over the steps, with quartiles, of each method, class, modality."""
    figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    for summary in summaries:
        steps = [step.step for step in summary.steps]
        name = _line_name(summary, summaries)
        (line,) = axes.plot(steps, [step.dice.median for step in summary.steps], marker="o", markersize=3, label=name)
        lower, upper = ([getattr(step.dice, end) for step in summary.steps] for end in ("lower", "upper"))
        axes.fill_between(steps, lower, upper, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="step (0: no click)", ylabel="Dice: median and quartiles", ylim=(0, 1.01))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    for text in axes.legend(loc="lower right", fontsize=8).get_texts():
        text.set_parse_math(False)
    return png(figure)


def draw_heat_map(cases: Sequence[Evaluated]) -> bytes:
    """Returns a PNG of the model's Dice coefficient in each case after each step, the best case first."""
    rows = sorted(
        ((_row_name(case, curve), curve) for case in cases for curve in case.curves if curve.method == MODEL),
        key=lambda row: -row[1].scores[-1].agreement.dice,
    )
    values = np.array([[score.agreement.dice for score in curve.scores] for _, curve in rows])
    figure = Figure(figsize=(7, 1.4 + 0.2 * min(len(rows), _NAMED)), dpi=110, layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_xlabel("step (0: no click)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks(range(len(rows)) if len(rows) <= _NAMED else [])
    if len(rows) <= _NAMED:
        for text in axes.set_yticklabels([name for name, _ in rows], fontsize=7):
            text.set_parse_math(False)  # a name may hold a $
    figure.colorbar(shown, label="Dice")
    return png(figure)


def _line_name(summary: Summary, summaries: Sequence[Summary]) -> str:
    """Returns a method's name, with the class and the modality where there are several."""
    labels, modalities = {each.label for each in summaries}, {each.modality for each in summaries}
    parts = [summary.method, *([summary.label] * (len(labels) > 1)), *([summary.modality] * (len(modalities) > 1))]
    return ": ".join(parts)


def _row_name(case: Evaluated, curve: Curve) -> str:
    several = len({each.label for each in case.curves}) > 1
    name = printable(f"{case.name}: {curve.label}" if several else case.name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
