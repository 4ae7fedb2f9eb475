"""Plots: Dice by interaction step, and a heat map of all cases and steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clickseg.core.text import escape_unprintable
from clickseg.evaluation.evaluate import EvaluatedCase
from clickseg.evaluation.picture import encode_png
from clickseg.evaluation.scores import MODEL, Curve
from clickseg.evaluation.summary import Summary

_MAX_LABELLED_ROWS: Final = 150
"""The largest number of rows of the heat map with which each row has a label."""

_MAX_NAME_LENGTH = 40


def draw_dice(summaries: Sequence[Summary]) -> bytes:
    """Returns a PNG of the Dice coefficient by step: median and quartiles for each method, class and modality."""
    figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    for summary in summaries:
        steps = [step.step for step in summary.steps]
        name = _line_name(summary, summaries)
        (line,) = axes.plot(steps, [step.dice.median for step in summary.steps], marker="o", markersize=3, label=name)
        q1, q3 = ([getattr(step.dice, key) for step in summary.steps] for key in ("q1", "q3"))
        axes.fill_between(steps, q1, q3, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="step (0: without clicks)", ylabel="Dice: median and quartiles", ylim=(0, 1.01))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    for text in axes.legend(loc="lower right", fontsize=8).get_texts():
        text.set_parse_math(False)
    return encode_png(figure)


def draw_heat_map(cases: Sequence[EvaluatedCase]) -> bytes:
    """Returns a PNG of the model's Dice coefficient in each case after each step, sorted from best to worst."""
    rows = sorted(
        ((_row_name(case, curve), curve) for case in cases for curve in case.curves if curve.method == MODEL),
        key=lambda row: -row[1].dice[-1],
    )
    values = np.array([curve.dice for _, curve in rows])
    figure = Figure(figsize=(7, 1.4 + 0.2 * min(len(rows), _MAX_LABELLED_ROWS)), dpi=110, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_xlabel("step (0: without clicks)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks(range(len(rows)) if len(rows) <= _MAX_LABELLED_ROWS else [])
    if len(rows) <= _MAX_LABELLED_ROWS:
        for text in axes.set_yticklabels([name for name, _ in rows], fontsize=7):
            text.set_parse_math(False)  # a name may contain a $
    figure.colorbar(image, label="Dice")
    return encode_png(figure)


def _line_name(summary: Summary, summaries: Sequence[Summary]) -> str:
    """Returns the name of a method, with the class and the modality if there are several."""
    labels, modalities = {other.label for other in summaries}, {other.modality for other in summaries}
    parts = [summary.method, *([summary.label] * (len(labels) > 1)), *([summary.modality] * (len(modalities) > 1))]
    return ": ".join(parts)


def _row_name(case: EvaluatedCase, curve: Curve) -> str:
    has_several_classes = len({other.label for other in case.curves}) > 1
    name = escape_unprintable(f"{case.name}: {curve.label}" if has_several_classes else case.name)
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"
