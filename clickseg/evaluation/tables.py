"""What is written as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from clickseg.evaluation.dataset import Evaluated, Failed
from clickseg.evaluation.scores import Curve
from clickseg.evaluation.summary import DICE_GOALS, Summary

COLUMNS = (
    "case",
    "modality",
    "fold",
    "label",
    "method",
    "step",
    "foreground_clicks",
    "background_clicks",
    "dice",
    "nsd",
    "fpv_ml",
    "fnv_ml",
    "seconds",
    "windows",
)
_DIGITS = 6


def as_csv(cases: Sequence[Evaluated]) -> bytes:
    """Returns a table with a row for each case, class, method and step."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        for curve in case.curves:
            writer.writerows(_rows(case, curve))
    return text.getvalue().encode("utf-8", "backslashreplace")


def as_json(
    facts: Mapping[str, Any], summaries: Sequence[Summary], cases: Sequence[Evaluated], failed: Sequence[Failed]
) -> dict[str, Any]:
    """Returns the summary: what was run, what all cases say together, each case by itself, and what failed."""
    return {
        **facts,
        "methods": [_rounded(asdict(summary)) for summary in summaries],
        "cases": [_rounded(_case(case, curve)) for case in cases for curve in case.curves],
        "failed": [{"case": each.name, "fold": each.fold, "error": str(each.error)} for each in failed],
    }


def _rows(case: Evaluated, curve: Curve) -> Iterator[tuple[object, ...]]:
    for score in curve.scores:
        agreement = score.agreement
        yield (
            case.name,
            case.modality,
            "" if case.fold is None else case.fold,
            curve.label,
            curve.method,
            score.step,
            score.foreground,
            score.background,
            *(round(value, _DIGITS) for value in (agreement.dice, agreement.nsd, agreement.fpv_ml, agreement.fnv_ml)),
            round(score.effort.seconds, 3),
            score.effort.windows,
        )


def _case(case: Evaluated, curve: Curve) -> dict[str, Any]:
    return {
        "case": case.name,
        "modality": case.modality,
        "fold": case.fold,
        "label": curve.label,
        "method": curve.method,
        "dice": [score.agreement.dice for score in curve.scores],
        "dice_auc": curve.dice_auc,
        "nsd_auc": curve.nsd_auc,
        "clicks_to": {f"{goal:.2f}": curve.clicks_to(goal) for goal in DICE_GOALS},
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
