"""What an evaluation leaves: cases.csv, summary.json, two plots and report.html, together or not at all."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from clickseg.core.version import __version__
from clickseg.evaluation.dataset import EvaluatedDataset, Evaluation
from clickseg.evaluation.page import Content, make_page
from clickseg.evaluation.plots import draw_dice, draw_heat_map
from clickseg.evaluation.summary import Summary, summarized
from clickseg.evaluation.tables import as_csv, as_json
from clickseg.staging import Staging, write_bytes

SUMMARY: Final = "summary.json"
"""Published last: its presence marks a whole report."""

_LIBRARIES = (
    "numpy",
    "scipy",
    "SimpleITK",
    "edt",
    "surface-distance-based-measures",
    "matplotlib",
)


def write_report(
    staging: Staging, evaluation: Evaluation, dataset: EvaluatedDataset, clock: datetime
) -> tuple[Summary, ...]:
    """Writes a report, and returns what all cases say together.

    Args:
        staging: Where files wait until they are published.
        evaluation: What was done with each case.
        dataset: The cases.
        clock: The time that is stamped on it.

    Raises:
        OutputError: A file cannot be written.
    """
    cases, failed = dataset.cases, dataset.failed
    facts = _facts(evaluation, dataset, clock)
    summaries = summarized(cases)
    plots = {"dice.png": draw_dice(summaries), "cases.png": draw_heat_map(cases)}
    titles = {"Dice over clicks": plots["dice.png"], "Dice in each case": plots["cases.png"]}
    page = make_page(Content(_words(facts, len(cases), len(failed)), summaries, cases, failed, titles))
    summary = json.dumps(as_json(facts, summaries, cases, failed), indent=2)
    contents = {"cases.csv": as_csv(cases), "report.html": page, **plots, SUMMARY: summary.encode()}
    for name, content in contents.items():
        write_bytes(staging.folder / name, content)
    return summaries


def _facts(evaluation: Evaluation, dataset: EvaluatedDataset, clock: datetime) -> dict[str, Any]:
    protocol, package, engine = evaluation.protocol, evaluation.package, evaluation.engine
    return {
        "clickseg": __version__,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "created": clock.isoformat(),
        "model": {
            "name": package.name,
            "version": package.version,
            "weights": {each.path.name: each.sha256 for each in engine.weights},
        },
        "engine": dict(engine.describe()),
        "protocol": {
            "name": protocol.name,
            "steps": protocol.steps,
            "seed": protocol.seed,
            "auc_from_step": protocol.counted_from,
        },
        "postprocessing": evaluation.options.postprocessing,
        "folds": list(dataset.folds),
        "data_sha256": dataset.sha256,
    }


def _words(facts: Mapping[str, Any], cases: int, failed: int) -> dict[str, str]:
    """Returns the facts as the page shows them."""
    model, protocol = facts["model"], facts["protocol"]
    return {
        "model": f"{model['name']} {model['version']}",
        **{f"SHA-256 of {name}": digest for name, digest in model["weights"].items()},
        "cases": f"{cases}{f', and {failed} that failed' if failed else ''}",
        "SHA-256 of the cases": facts["data_sha256"],
        "folds": ", ".join(str(fold) for fold in facts["folds"]) or "all",
        "protocol": f"{protocol['name']}, {protocol['steps']} steps, seed {protocol['seed']}",
        "postprocessing": "on" if facts["postprocessing"] else "off",
        "engine": _listed(facts["engine"]),
        "ClickSeg": facts["clickseg"],
        "Python": facts["python"],
        "libraries": _listed(facts["libraries"]),
        "created": facts["created"],
    }


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
