"""What an evaluation leaves: cases.csv, summary.json, two plots and report.html, together or not at all.

The page needs nothing beside itself; whatever comes from outside is escaped.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from markupsafe import Markup

from clickseg.core.files import write_bytes
from clickseg.core.staging import Staging
from clickseg.core.templates import make_environment
from clickseg.core.text import printable
from clickseg.core.version import __version__
from clickseg.evaluation.evaluate import Evaluated, EvaluatedDataset, Evaluation, Failed
from clickseg.evaluation.plots import draw_dice, draw_heat_map
from clickseg.evaluation.scores import MODEL, Curve
from clickseg.evaluation.summary import DICE_GOALS, Summary, summarized

SUMMARY: Final = "summary.json"
"""Published last: its presence marks a whole report."""

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

SHOWN_STEPS: Final = (0, 1, 3, 5, 10)
"""The steps that the tables show, with the last one."""

WORST: Final = 6
"""How many of the worst cases are pictured."""

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
class Content:
    """What the page shows.

    Attributes:
        facts: What was run, by what it is called.
        summaries: How well each method does.
        cases: Each case.
        failed: The cases that could not be evaluated.
        plots: PNGs by their titles.
    """

    facts: Mapping[str, str]
    summaries: Sequence[Summary]
    cases: Sequence[Evaluated]
    failed: Sequence[Failed]
    plots: Mapping[str, bytes]


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


def as_csv(cases: Sequence[Evaluated]) -> bytes:
    """Returns a table with a row for each case, class, method and step."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        for curve in case.curves:
            writer.writerows(_rows(case, curve))
    return text.getvalue().encode("utf-8", "backslashreplace")


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


def make_page(content: Content) -> bytes:
    """Returns the page, rendered from ``templates/report.html.j2``."""
    environment = make_environment("clickseg.evaluation", _printable)
    environment.filters["base64"] = _base64
    worst = sorted(((case, _final_dice(case)) for case in content.cases), key=lambda pair: pair[1])[:WORST]
    page = environment.get_template("report.html.j2").render(
        facts=content.facts,
        failed=content.failed,
        summaries=content.summaries,
        steps=_shown_steps(len(content.summaries[0].steps)),
        plots=content.plots,
        worst=worst,
        cases=content.cases,
    )
    return page.encode()


def _printable(value: Any) -> str:
    """Returns a value as the page shows it, before it is escaped; markup is finished."""
    return value if isinstance(value, Markup) else printable(str(value))


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode())  # noqa: S704 - its alphabet has nothing to escape


def _final_dice(case: Evaluated) -> float:
    """Returns the Dice coefficient of the model after the last step, of its worst class."""
    return min(curve.scores[-1].agreement.dice for curve in case.curves if curve.method == MODEL)


def _shown_steps(count: int) -> list[int]:
    return sorted({*(step for step in SHOWN_STEPS if step < count), count - 1})
