"""Dice coefficients of a cross-validation, click by click (CVPR 2025), of runs of ``clickseg train --fold N``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.table import Row, publish
from clickseg.datasets.case import CaseFiles, LabelledCase
from clickseg.datasets.find import find_cases_for
from clickseg.datasets.read import read_case
from clickseg.engines.choice import Runtime, make_engine
from clickseg.engines.engine import Precision
from clickseg.evaluation.case import evaluate_case
from clickseg.evaluation.protocols.choice import ProtocolName, make_protocol
from clickseg.models.package import ModelPackage, load_package
from clickseg.training.run_folder import RECORD

_SHOWN = (0, 1, 3, 5, 10)
_AVID_SUV, _AVID_SHARE = 1.5, 0.7
_DROP = 0.005


def run(data: Path, runs: Path) -> None:
    """Measures, prints and keeps the table.

    Args:
        data: The dataset.
        runs: A folder of the folders of runs, one for each fold.
    """
    scored = {postprocessing: _scores(data, runs, postprocessing) for postprocessing in (True, False)}
    rows = [
        _row(group, modality, postprocessing, scores)
        for postprocessing, found in scored.items()
        for (group, modality), scores in found.items()
    ]
    name = _package(sorted(runs.iterdir())[0]).name
    publish(f"cross_validation_{name}", f"Cross-validation of {name}: Dice by the number of clicks", rows)


def _scores(data: Path, runs: Path, postprocessing: bool) -> dict[tuple[str, str], list[list[float]]]:
    """Returns the Dice coefficients of each held-out case, by group and modality."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for folder in sorted(runs.iterdir()):
        package, names = _package(folder), json.loads((folder / RECORD).read_text())["held_out"]
        engine = make_engine(package, Runtime.OPENVINO, "cpu", Precision.AUTO)
        protocol = make_protocol(ProtocolName.CVPR2025, max(_SHOWN), None)
        for files in _held_out(find_cases_for(data, package.spec), names):
            case = read_case(files)
            (curve,) = evaluate_case(case, package, engine, protocol, postprocessing=postprocessing).curves[:1]
            dices = [curve.scores[count].agreement.dice for count in _SHOWN]
            for group in ("all", *(["avid"] if _is_avid(case) else [])):
                found.setdefault((group, files.modalities[0]), []).append(dices)
    return found


def _package(folder: Path) -> ModelPackage:
    (path,) = (path for path in folder.iterdir() if (path / "configs").is_dir())
    return load_package(path)


def _held_out(cases: Sequence[CaseFiles], names: Sequence[str]) -> list[CaseFiles]:
    return [case for case in cases if case.name in names]


def _is_avid(case: LabelledCase) -> bool:
    image = case.images[0]
    inside = image.volume.array[case.truth.array > 0]
    return image.modality == "PT" and bool((inside >= _AVID_SUV).mean() >= _AVID_SHARE)


def _row(group: str, modality: str, postprocessing: bool, scores: Sequence[Sequence[float]]) -> Row:
    dices = np.array(scores)
    low, middle, high = np.percentile(dices, [25, 50, 75], axis=0)
    steady = (np.diff(dices, axis=1) >= -_DROP).all(axis=1)
    return {
        "cases": f"{group} {modality}",
        "number": len(dices),
        "postprocessing": "on" if postprocessing else "off",
        **{f"mean, {count}": round(float(value), 3) for count, value in zip(_SHOWN, dices.mean(axis=0), strict=True)},
        **{
            f"median, {count}": f"{b:.3f} ({a:.3f} to {c:.3f})"
            for count, a, b, c in zip(_SHOWN, low, middle, high, strict=True)
        },
        "never drops %": round(100 * float(steady.mean()), 1),
    }
