"""Dice by the number of clicks (CVPR 2025 protocol) of models trained with ``clickseg train --fold N``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.held_out import HeldOutCase, held_out_cases, trained_package
from benchmarks.table import Row, publish
from clickseg.datasets.case import LabelledCase
from clickseg.evaluation.evaluate import evaluate_case
from clickseg.evaluation.protocols import ProtocolName, make_protocol
from clickseg.evaluation.region_growing import evaluate_region_growing
from clickseg.evaluation.scores import Curve
from clickseg.session.options import SessionOptions

_CLICK_COUNTS = (0, 1, 3, 5, 10)
_AVID_MIN_SUV, _AVID_MIN_FRACTION = 1.5, 0.7
_MAX_DECREASE = 0.005
"""A smaller decrease of Dice from one number of clicks to the next is ignored."""


def run(data: Path, runs: Path) -> None:
    """Runs the benchmark; prints and stores its table.

    Args:
        data: The dataset.
        runs: A folder that contains one training run for each fold.
    """
    scores: dict[tuple[str, str, str], list[list[float]]] = {}
    for held_out in held_out_cases(data, runs):
        modality = held_out.case.images[0].modality
        groups = ("all", "avid") if _is_avid(held_out.case) else ("all",)
        for method, curve in _evaluate(held_out):
            for group in groups:
                dices = [curve.scores[count].metrics.dice for count in _CLICK_COUNTS]
                scores.setdefault((method, modality, group), []).append(dices)
    rows = [_row(*key, dices) for key, dices in sorted(scores.items(), reverse=True)]
    name = trained_package(min(runs.iterdir())).name
    publish(f"cross_validation_{name}", f"Cross-validation of {name}: Dice by the number of clicks", rows)


def _evaluate(held_out: HeldOutCase) -> Iterator[tuple[str, Curve]]:
    """Yields the name of each method and its curve of scores."""
    protocol = make_protocol(ProtocolName.CVPR2025, max(_CLICK_COUNTS), None)
    for method, postprocessing in (("the model", True), ("the model, without postprocessing", False)):
        scores = evaluate_case(
            held_out.case, held_out.package, held_out.engine, protocol, SessionOptions(postprocessing=postprocessing)
        )
        yield from ((method, curve) for curve in scores.curves)
    yield from (
        ("region growing", curve) for curve in evaluate_region_growing(held_out.case, held_out.package.spec, protocol)
    )


def _is_avid(case: LabelledCase) -> bool:
    """Whether at least ``_AVID_MIN_FRACTION`` of the tumour has an SUV of ``_AVID_MIN_SUV`` or more."""
    image = case.images[0]
    tumour_suv = image.volume.array[case.truth.array > 0]
    return image.modality == "PT" and bool((tumour_suv >= _AVID_MIN_SUV).mean() >= _AVID_MIN_FRACTION)


def _row(method: str, modality: str, group: str, scores: Sequence[Sequence[float]]) -> Row:
    dices = np.array(scores)
    lows, middles, highs = np.percentile(dices, [25, 50, 75], axis=0)
    never_decreases = (np.diff(dices, axis=1) >= -_MAX_DECREASE).all(axis=1)
    return {
        "cases": f"{group} {modality}",
        "number of cases": len(dices),
        "method": method,
        **{
            f"mean Dice, clicks: {count}": round(float(value), 3)
            for count, value in zip(_CLICK_COUNTS, dices.mean(axis=0), strict=True)
        },
        **{
            f"median Dice (quartiles), clicks: {count}": f"{middle:.3f} ({low:.3f} to {high:.3f})"
            for count, low, middle, high in zip(_CLICK_COUNTS, lows, middles, highs, strict=True)
        },
        "no decrease %": round(100 * float(never_decreases.mean()), 1),
    }
