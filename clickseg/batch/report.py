"""What a run says of itself: the plan in the log, and report.json; never a name, an ID or a date of birth.

The report names what was run on what, how, for how long, and what came of it.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clickseg.batch.plan import Plan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import Outcome
from clickseg.clicks.click import Clicks, Polarity
from clickseg.core.errors import ClickSegError
from clickseg.core.machine import peak_memory_bytes
from clickseg.core.text import counted
from clickseg.core.version import __version__
from clickseg.dicom.series import Candidate
from clickseg.inference.case import Result
from clickseg.results.documents import Documents, Segment

logger = logging.getLogger(__name__)

_USUAL = ("not DICOM", "DICOMDIR", "DICOM without a series", "copy of another file")
"""What folders of DICOM hold besides."""

_RESULTS = ("SEG", "SR")
"""Modalities of results, such as those of earlier runs; whether their clicks count is said on its own."""


@dataclass(frozen=True, slots=True)
class Written:
    """A result that was written.

    Attributes:
        documents: The result with its documents.
        files: The files' names by kind: ``seg``, ``sr``, ``preview``, ``nifti``; empty in a run that writes nothing.
    """

    documents: Documents
    files: Mapping[str, str]


def log_plan(plan: Plan) -> None:
    """Logs what is run and what is not."""
    _log_tasks(plan)
    _log_passed_over(plan)


def log_result(outcome: Outcome[Result]) -> None:
    """Logs which clicks hit nothing: it is the likeliest mistake of a user."""
    if isinstance(outcome.value, ClickSegError):
        return
    for removed in outcome.value.removed:
        if removed.clicks_beside:
            logger.warning(
                "%s of %s %s in nothing that the network found; --postprocessing off keeps all of it",
                counted(removed.clicks_beside, "foreground click"),
                removed.label,
                "lies" if removed.clicks_beside == 1 else "lie",
            )


def series_entry(outcome: Outcome[Written], settings: RunSettings) -> dict[str, Any]:
    """Returns the report's entry for one series: what was written of it, or the error that stopped it."""
    entry = {**_identity(outcome.candidate), "seconds": {k: round(v, 3) for k, v in outcome.seconds.items()}}
    if isinstance(outcome.value, ClickSegError):
        return {**entry, "error": str(outcome.value)}
    documents = outcome.value.documents
    result = documents.result
    return {
        **entry,
        "files": dict(outcome.value.files),
        "segments": [_segment(segment, result, settings) for segment in documents.segments],
        "input": _input(result),
        "clicks": _clicks(result.case.clicks),
        "engine": dict(result.predicted.engine),
        "weights": {weights.path.name: weights.sha256 for weights in result.predicted.weights},
        "windows": asdict(result.predicted.windows),
        "postprocessing": _postprocessing(result, settings),
    }


def run_report(entries: Sequence[Mapping[str, Any]], plan: Plan, settings: RunSettings) -> dict[str, Any]:
    """Returns the whole report."""
    return {
        "clickseg": __version__,
        "python": platform.python_version(),
        "created": settings.clock.isoformat(),
        "model": {"name": plan.package.name, "version": plan.package.version},
        "series": list(entries),
        "passed_over": {
            "series": [{**_identity(each.candidate), "reason": str(each.reason)} for each in plan.series_passed_over],
            "clicks": list(plan.clicks_passed_over),
            "files": plan.files_passed_over,
        },
        "peak_memory_mb": round(peak_memory_bytes() / (1 << 20)),
    }


def _identity(candidate: Candidate) -> dict[str, Any]:
    return {
        "study_instance_uid": candidate.study_uid,
        "series_instance_uid": candidate.series_uid,
        "frame_of_reference_uid": candidate.frame_of_reference_uid,
        "modality": candidate.modality,
        "folder": candidate.folder,
    }


def _input(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "series_instance_uid": series.candidate.series_uid,
            "modality": series.candidate.modality,
            "unit": series.unit,
            "unit_rule": series.unit_rule,
            "shape": list(series.volume.spatial_shape),
            "spacing_mm": [round(float(value), 6) for value in series.volume.spacing],
            "remedies": list(series.candidate.remedies_used),
        }
        for series in result.case.series
    ]


def _clicks(clicks: Clicks) -> dict[str, Any]:
    polarities = [click.polarity for click in clicks.points]
    return {
        "source": clicks.source or None,
        "sha256": clicks.digest or None,
        "foreground": polarities.count(Polarity.FOREGROUND),
        "background": polarities.count(Polarity.BACKGROUND),
    }


def _postprocessing(result: Result, settings: RunSettings) -> dict[str, Any] | None:
    if not settings.postprocessing:
        return None
    rules = result.case.package.spec.postprocessing
    return {**rules.model_dump(), "removed": [_rounded(asdict(removed)) for removed in result.removed]}


def _segment(segment: Segment, result: Result, settings: RunSettings) -> dict[str, Any]:
    measured = segment.measured
    entry = {
        "number": segment.number,
        "class_number": segment.class_number,
        "label": segment.label,
        "volume_ml": round(measured.volume_ml, 4),
        **(_rounded(asdict(measured.uptake)) if measured.uptake else {}),
    }
    return {**entry, "statistics": _statistics(segment, result)} if settings.statistics else entry


def _statistics(segment: Segment, result: Result) -> dict[str, Any]:
    """Returns the mean, deviation and range of a segment's values, in the unit of the series."""
    series = result.case.reference
    values = series.volume.array[result.labels.mask(segment.class_number)].astype(np.float64)
    statistics = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
    return {"unit": series.unit, **{key: round(float(value), 4) for key, value in statistics.items()}}


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def _log_tasks(plan: Plan) -> None:
    for task in plan.tasks:
        clicks = _described(task.clicks)
        candidate = task.candidate
        logger.info("%s series in %s: model %s, %s", candidate.modality, candidate.folder, plan.package.name, clicks)
        for remedy in candidate.remedies_used:
            logger.warning("%s series in %s: %s", candidate.modality, candidate.folder, remedy)
        has_foreground = any(click.polarity is Polarity.FOREGROUND for click in task.clicks.points)
        if not has_foreground and plan.package.spec.postprocessing.keep == "clicked":
            logger.warning(
                "model %s is made for foreground clicks: without any it paints organs too", plan.package.name
            )


def _log_passed_over(plan: Plan) -> None:
    for each in plan.series_passed_over:
        if each.candidate.modality in _RESULTS:
            continue
        level = logging.WARNING if each.candidate.modality in plan.package.modalities else logging.INFO
        logger.log(level, "passed over: %s in %s: %s", each.candidate.modality, each.candidate.folder, each.reason)
    for each in plan.failures:
        logger.warning("%s in %s cannot be segmented: %s", each.candidate.modality, each.candidate.folder, each.reason)
    for reason, count in plan.files_passed_over.items():
        if reason not in _USUAL:
            logger.warning("passed over: %s: %s", counted(count, "file"), reason)
    for name in plan.clicks_passed_over:
        logger.warning("passed over: the clicks of %s", name)


def _described(clicks: Clicks) -> str:
    polarities = [click.polarity for click in clicks.points]
    said = ", ".join(f"{polarities.count(each)} {each.value}" for each in Polarity if each in polarities)
    if clicks.source:
        return f"{counted(len(clicks.points), 'click')} of {clicks.source}{f' ({said})' if said else ''}"
    return "no clicks"
