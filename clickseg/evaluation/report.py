"""The report of an evaluation: cases.csv, summary.json, two plots and report.html; written completely or not at all.

The HTML page is self-contained. All values from files and arguments are escaped.
"""

from __future__ import annotations

import base64
import csv
import io
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from markupsafe import Markup

from clickseg.core.files import write_bytes
from clickseg.core.json_text import to_json
from clickseg.core.staging import Staging
from clickseg.core.templates import make_environment
from clickseg.core.text import escape_unprintable
from clickseg.core.version import __version__
from clickseg.evaluation.evaluate import EvaluatedCase, EvaluatedDataset, Evaluator, FailedCase
from clickseg.evaluation.plots import draw_dice, draw_heat_map
from clickseg.evaluation.scores import MODEL, Curve
from clickseg.evaluation.summary import DICE_TARGETS, Summary, summarize

SUMMARY_FILE: Final = "summary.json"
"""Written last: its presence marks a complete report."""

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

TABLE_STEPS: Final = (0, 1, 3, 5, 10)
"""The steps in the tables of the page, in addition to the last step."""

MAX_PICTURES: Final = 6
"""The number of pictures on the page: those of the cases with the lowest Dice."""

_DIGITS = 6

_LIBRARIES = (
    "numpy",
    "scipy",
    "SimpleITK",
    "edt",
    "surface-distance-based-measures",
    "matplotlib",
)


@dataclass(frozen=True, slots=True)
class PageContent:
    """The content of the HTML page.

    Attributes:
        facts: Names and values of what was evaluated: model, data, protocol and versions.
        summaries: The statistics of each method.
        cases: The evaluated cases.
        failed: The cases that could not be evaluated.
        plots: PNGs by title.
    """

    facts: Mapping[str, str]
    summaries: Sequence[Summary]
    cases: Sequence[EvaluatedCase]
    failed: Sequence[FailedCase]
    plots: Mapping[str, bytes]


def write_report(
    staging: Staging, evaluator: Evaluator, dataset: EvaluatedDataset, clock: datetime
) -> tuple[Summary, ...]:
    """Writes the files of a report, and returns the statistics over all cases.

    Args:
        staging: The staging folder of the report.
        evaluator: The configuration with which the cases were evaluated.
        dataset: The results of the cases.
        clock: The time that is written into the report.

    Raises:
        OutputError: A file cannot be written.
    """
    cases, failed = dataset.cases, dataset.failed
    facts = _facts(evaluator, dataset, clock)
    summaries = summarize(cases)
    plots = {"dice.png": draw_dice(summaries), "cases.png": draw_heat_map(cases)}
    titles = {"Dice by step": plots["dice.png"], "Dice of each case by step": plots["cases.png"]}
    page = make_page(PageContent(_page_facts(facts, len(cases), len(failed)), summaries, cases, failed, titles))
    summary = to_json(make_json(facts, summaries, cases, failed))
    contents = {"cases.csv": make_csv(cases), "report.html": page, **plots, SUMMARY_FILE: summary.encode()}
    for name, content in contents.items():
        write_bytes(staging.folder / name, content)
    return summaries


def _facts(evaluator: Evaluator, dataset: EvaluatedDataset, clock: datetime) -> dict[str, Any]:
    protocol, package, engine = evaluator.protocol, evaluator.package, evaluator.engine
    return {
        "clickseg": __version__,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "created": clock.isoformat(),
        "model": {
            "name": package.name,
            "version": package.version,
            "weights": {file.path.name: file.sha256 for file in engine.weights},
            **package.import_notes,
        },
        "engine": dict(engine.describe()),
        "protocol": {
            "name": protocol.name,
            "steps": protocol.steps,
            "seed": protocol.seed,
            "auc_from_step": protocol.auc_from_step,
        },
        "postprocessing": evaluator.options.postprocessing,
        "folds": list(dataset.folds),
        "data_sha256": dataset.sha256,
    }


def _page_facts(facts: Mapping[str, Any], cases: int, failed: int) -> dict[str, str]:
    """Returns the facts as texts for the page."""
    model, protocol = facts["model"], facts["protocol"]
    return {
        "model": f"{model['name']} {model['version']}",
        **{kind: "; ".join(model[kind]) for kind in ("assumptions", "differences") if kind in model},
        **{f"SHA-256 of {name}": digest for name, digest in model["weights"].items()},
        "cases": f"{cases}{f', and {failed} failed' if failed else ''}",
        "SHA-256 of the cases": facts["data_sha256"],
        "folds": ", ".join(str(fold) for fold in facts["folds"]) or "all",
        "protocol": f"{protocol['name']}, {protocol['steps']} steps, seed {protocol['seed']}",
        "postprocessing": "on" if facts["postprocessing"] else "off",
        "engine": _join_pairs(facts["engine"]),
        "ClickSeg": facts["clickseg"],
        "Python": facts["python"],
        "libraries": _join_pairs(facts["libraries"]),
        "created": facts["created"],
    }


def _join_pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def make_csv(cases: Sequence[EvaluatedCase]) -> bytes:
    """Returns a CSV table with a row for each case, class, method and step."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        for curve in case.curves:
            writer.writerows(_rows(case, curve))
    return text.getvalue().encode("utf-8", "backslashreplace")


def _rows(case: EvaluatedCase, curve: Curve) -> Iterator[tuple[object, ...]]:
    for score in curve.scores:
        metrics = score.metrics
        yield (
            case.name,
            case.modality,
            "" if case.fold is None else case.fold,
            curve.label,
            curve.method,
            score.step,
            score.foreground_clicks,
            score.background_clicks,
            *(round(value, _DIGITS) for value in (metrics.dice, metrics.nsd, metrics.fpv_ml, metrics.fnv_ml)),
            round(score.cost.seconds, 3),
            score.cost.windows,
        )


def make_json(
    facts: Mapping[str, Any], summaries: Sequence[Summary], cases: Sequence[EvaluatedCase], failed: Sequence[FailedCase]
) -> dict[str, Any]:
    """Returns the content of ``summary.json``: facts, statistics of each method, scores of each case, failed cases."""
    return {
        **facts,
        "methods": [_round_values(asdict(summary)) for summary in summaries],
        "cases": [_round_values(_case_scores(case, curve)) for case in cases for curve in case.curves],
        "failed": [{"case": case.name, "fold": case.fold, "error": str(case.error)} for case in failed],
    }


def _case_scores(case: EvaluatedCase, curve: Curve) -> dict[str, Any]:
    return {
        "case": case.name,
        "modality": case.modality,
        "fold": case.fold,
        "label": curve.label,
        "method": curve.method,
        "dice": curve.dice,
        "dice_auc": curve.dice_auc,
        "nsd_auc": curve.nsd_auc,
        "noc": {f"{target:.2f}": curve.number_of_clicks(target) for target in DICE_TARGETS},
    }


def _round_values(value: Any) -> Any:
    """Returns a JSON value with all floats in it rounded."""
    if isinstance(value, dict):
        return {key: _round_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_round_values(item) for item in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def make_page(content: PageContent) -> bytes:
    """Returns the HTML page, rendered from ``templates/report.html.j2``."""
    environment = make_environment("clickseg.evaluation", _to_printable)
    environment.filters["base64"] = _encode_base64
    worst = sorted(((case, _final_dice(case)) for case in content.cases), key=lambda pair: pair[1])[:MAX_PICTURES]
    page = environment.get_template("report.html.j2").render(
        facts=content.facts,
        failed=content.failed,
        summaries=content.summaries,
        steps=_table_steps(len(content.summaries[0].steps)),
        plots=content.plots,
        worst=worst,
        cases=content.cases,
    )
    return page.encode()


def _to_printable(value: Any) -> str:
    """Returns a value as printable text, which is escaped afterwards; markup is returned unchanged."""
    return value if isinstance(value, Markup) else escape_unprintable(str(value))


def _encode_base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode())  # noqa: S704 - base64 has no characters to escape


def _final_dice(case: EvaluatedCase) -> float:
    """Returns the Dice coefficient of the model after the last step; with several classes, the lowest."""
    return min(curve.dice[-1] for curve in case.curves if curve.method == MODEL)


def _table_steps(count: int) -> list[int]:
    return sorted({*(step for step in TABLE_STEPS if step < count), count - 1})
