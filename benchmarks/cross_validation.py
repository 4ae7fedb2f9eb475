"""Dice coefficients of a cross-validation, click by click (CVPR 2025), of runs of ``clickseg train --fold N``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.held_out import HeldOut, held_out, package_in
from benchmarks.table import Row, publish
from clickseg.datasets.case import LabelledCase
from clickseg.evaluation.case import evaluate_case
from clickseg.evaluation.protocols.choice import ProtocolName, make_protocol

_SHOWN = (0, 1, 3, 5, 10)
_AVID_SUV, _AVID_SHARE = 1.5, 0.7
_DROP = 0.005


def run(data: Path, runs: Path) -> None:
    """Measures, prints and keeps the table.

    Args:
        data: The dataset.
        runs: A folder of the folders of runs, one for each fold.
    """
    scores: dict[tuple[str, str, str], list[list[float]]] = {}
    for each in held_out(data, runs):
        modality = each.case.images[0].modality
        for postprocessing in ("on", "off"):
            dices = _dices(each, postprocessing == "on")
            for group in ("all", *(["avid"] if _is_avid(each.case) else [])):
                scores.setdefault((postprocessing, modality, group), []).append(dices)
    rows = [_row(*key, dices) for key, dices in sorted(scores.items(), reverse=True)]
    name = package_in(min(runs.iterdir())).name
    publish(f"cross_validation_{name}", f"Cross-validation of {name}: Dice by the number of clicks", rows)


def _dices(each: HeldOut, postprocessing: bool) -> list[float]:
    protocol = make_protocol(ProtocolName.CVPR2025, max(_SHOWN), None)
    (curve,) = evaluate_case(each.case, each.package, each.engine, protocol, postprocessing=postprocessing).curves
    return [curve.scores[count].agreement.dice for count in _SHOWN]


def _is_avid(case: LabelledCase) -> bool:
    image = case.images[0]
    inside = image.volume.array[case.truth.array > 0]
    return image.modality == "PT" and bool((inside >= _AVID_SUV).mean() >= _AVID_SHARE)


def _row(postprocessing: str, modality: str, group: str, scores: Sequence[Sequence[float]]) -> Row:
    dices = np.array(scores)
    low, middle, high = np.percentile(dices, [25, 50, 75], axis=0)
    steady = (np.diff(dices, axis=1) >= -_DROP).all(axis=1)
    return {
        "cases": f"{group} {modality}",
        "number": len(dices),
        "postprocessing": postprocessing,
        **{f"mean, {count}": round(float(value), 3) for count, value in zip(_SHOWN, dices.mean(axis=0), strict=True)},
        **{
            f"median, {count}": f"{b:.3f} ({a:.3f} to {c:.3f})"
            for count, a, b, c in zip(_SHOWN, low, middle, high, strict=True)
        },
        "never drops %": round(100 * float(steady.mean()), 1),
    }
