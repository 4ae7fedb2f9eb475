"""Dice coefficients of a cross-validation, click by click (CVPR 2025), of runs of ``clickseg train --fold N``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.held_out import HeldOut, held_out, package_in
from benchmarks.table import Row, publish
from clickseg.datasets.case import LabelledCase
from clickseg.evaluation.evaluate import evaluate_case
from clickseg.evaluation.protocols import ProtocolName, make_protocol
from clickseg.evaluation.region_growing import grow_regions
from clickseg.evaluation.scores import Curve
from clickseg.session.options import SessionOptions

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
        groups = ("all", "avid") if _is_avid(each.case) else ("all",)
        for method, curve in _curves(each):
            for group in groups:
                dices = [curve.scores[count].agreement.dice for count in _SHOWN]
                scores.setdefault((method, modality, group), []).append(dices)
    rows = [_row(*key, dices) for key, dices in sorted(scores.items(), reverse=True)]
    name = package_in(min(runs.iterdir())).name
    publish(f"cross_validation_{name}", f"Cross-validation of {name}: Dice by the number of clicks", rows)


def _curves(each: HeldOut) -> Iterator[tuple[str, Curve]]:
    """Returns how well each method does, by what it is called."""
    protocol = make_protocol(ProtocolName.CVPR2025, max(_SHOWN), None)
    for method, postprocessing in (("the model", True), ("the model, without postprocessing", False)):
        scores = evaluate_case(
            each.case, each.package, each.engine, protocol, SessionOptions(postprocessing=postprocessing)
        )
        yield from ((method, curve) for curve in scores.curves)
    yield from (("region growing", curve) for curve in grow_regions(each.case, each.package.spec, protocol))


def _is_avid(case: LabelledCase) -> bool:
    image = case.images[0]
    inside = image.volume.array[case.truth.array > 0]
    return image.modality == "PT" and bool((inside >= _AVID_SUV).mean() >= _AVID_SHARE)


def _row(method: str, modality: str, group: str, scores: Sequence[Sequence[float]]) -> Row:
    dices = np.array(scores)
    low, middle, high = np.percentile(dices, [25, 50, 75], axis=0)
    steady = (np.diff(dices, axis=1) >= -_DROP).all(axis=1)
    return {
        "cases": f"{group} {modality}",
        "number": len(dices),
        "method": method,
        **{f"mean, {count}": round(float(value), 3) for count, value in zip(_SHOWN, dices.mean(axis=0), strict=True)},
        **{
            f"median, {count}": f"{b:.3f} ({a:.3f} to {c:.3f})"
            for count, a, b, c in zip(_SHOWN, low, middle, high, strict=True)
        },
        "never drops %": round(100 * float(steady.mean()), 1),
    }
