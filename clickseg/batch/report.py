"""``report.json`` and the log of the plan; neither contains the name, ID or date of birth of a patient.

The report contains the input, the model and the settings of a run, how long its steps took, and its results.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clickseg.batch.input_roles import needs_roles
from clickseg.batch.plan import RunPlan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import Outcome
from clickseg.clicks.click import Clicks, Polarity, has_foreground_click
from clickseg.core.errors import ClickSegError
from clickseg.core.machine import peak_memory_bytes
from clickseg.core.text import format_count
from clickseg.core.version import __version__
from clickseg.dicom.series_files import SeriesFiles
from clickseg.inference.case import CaseResult, WindowSummary
from clickseg.inference.model_sources import log_assumptions
from clickseg.inference.postprocess import Removal
from clickseg.models.package import ModelPackage
from clickseg.results.documents import Documents, Segment

logger = logging.getLogger(__name__)

_ROUTINE_REASONS = ("not DICOM", "DICOMDIR", "DICOM without a series", "copy of another file")
"""Reasons to ignore a file that are usual in a DICOM folder, and so are not logged."""

_RESULT_MODALITIES = ("SEG", "SR")
"""Modalities of results, for example of earlier runs. Whether their clicks are used is logged separately."""


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """A result with its documents and files.

    Attributes:
        documents: The result with its DICOM documents.
        file_names: File names by kind: ``seg``, ``sr``, ``preview``, ``nifti``; empty if the run writes no files.
    """

    documents: Documents
    file_names: Mapping[str, str]


def log_plan(plan: RunPlan) -> None:
    """Logs the assumptions about a translated model, the series that are segmented, and the input that is not used."""
    log_assumptions(plan.package)
    _log_cases(plan)
    _log_unused_input(plan)


def warn_of_unmatched_clicks(outcome: Outcome[CaseResult]) -> None:
    """Warns of foreground clicks that match no component of the result: a common mistake of users."""
    if isinstance(outcome.value, ClickSegError):
        return
    for removed in outcome.value.removed:
        if removed.unmatched_clicks:
            logger.warning(
                "%s of %s %s outside every component that the network segmented; --postprocessing off keeps all "
                "components",
                format_count(removed.unmatched_clicks, "foreground click"),
                removed.label,
                "is" if removed.unmatched_clicks == 1 else "are",
            )


def series_entry(outcome: Outcome[WrittenResult], settings: RunSettings) -> dict[str, Any]:
    """Returns the report's entry for one series: its result, or the error that stopped it."""
    seconds = {step: round(duration, 3) for step, duration in outcome.seconds.items()}
    entry = {**_series_identifiers(outcome.series_files), "seconds": seconds}
    if isinstance(outcome.value, ClickSegError):
        return {**entry, "error": str(outcome.value)}
    documents = outcome.value.documents
    result = documents.result
    return {
        **entry,
        "files": dict(outcome.value.file_names),
        "segments": [_segment_entry(segment, result, settings) for segment in documents.segments],
        "inputs": [*_input_entries(result)],
        "clicks": _clicks_entry(result.case.clicks),
        "engine": dict(result.prediction.engine),
        "weights": {weights.path.name: weights.sha256 for weights in result.prediction.weights},
        "windows": _windows_entry(result.prediction.windows),
        "postprocessing": _postprocessing_entry(result, settings),
    }


def run_report(entries: Sequence[Mapping[str, Any]], plan: RunPlan, settings: RunSettings) -> dict[str, Any]:
    """Returns the complete report."""
    return {
        "clickseg": __version__,
        "python": platform.python_version(),
        "created": settings.clock.isoformat(),
        "model": _model_entry(plan.package),
        "series": list(entries),
        "skipped_series": [
            {**_series_identifiers(skipped.files), "reason": str(skipped.reason)}
            for skipped in plan.skipped_without_error
        ],
        "ignored_click_files": list(plan.ignored_click_files),
        "ignored_files": plan.ignored_files,
        "peak_memory_mb": round(peak_memory_bytes() / (1 << 20)),
    }


def _model_entry(package: ModelPackage) -> dict[str, Any]:
    return {"name": package.name, "version": package.version, **package.import_notes}


def _series_identifiers(files: SeriesFiles) -> dict[str, Any]:
    return {
        "study_instance_uid": files.study_uid,
        "series_instance_uid": files.series_uid,
        "frame_of_reference_uid": files.frame_of_reference_uid,
        "modality": files.modality,
        "folder": files.folder,
    }


def _input_entries(result: CaseResult) -> Iterator[dict[str, Any]]:
    """Yields the entry of each input series, with the name of the input if there are several."""
    inputs = result.case.package.spec.inputs
    for entry, series in zip(inputs, result.case.series, strict=True):
        yield {
            **({"name": entry.name} if len(inputs) > 1 else {}),
            "series_instance_uid": series.files.series_uid,
            "modality": series.files.modality,
            "unit": series.unit,
            "unit_conversion": series.unit_conversion,
            "shape": list(series.volume.spatial_shape),
            "spacing_mm": [round(float(value), 6) for value in series.volume.spacing],
            "repairs": list(series.files.applied_repairs),
        }


def _clicks_entry(clicks: Clicks) -> dict[str, Any]:
    polarities = [click.polarity for click in clicks.points]
    return {
        "source": clicks.source or None,
        "sha256": clicks.digest or None,
        "foreground": polarities.count(Polarity.FOREGROUND),
        "background": polarities.count(Polarity.BACKGROUND),
    }


def _windows_entry(windows: WindowSummary) -> dict[str, Any]:
    return {"count": windows.count, "reused": windows.reused, "logits_in": windows.logits_storage}


def _postprocessing_entry(result: CaseResult, settings: RunSettings) -> dict[str, Any] | None:
    if not settings.postprocessing:
        return None
    rules = result.case.package.spec.postprocessing
    return {**rules.model_dump(), "removed": [_removed_entry(removed) for removed in result.removed]}


def _removed_entry(removed: Removal) -> dict[str, Any]:
    """Returns how much postprocessing removed from one class."""
    return {
        "label": removed.label,
        "below_min_value_ml": round(removed.below_min_value_ml, 4),
        "components": removed.component_count,
        "components_ml": round(removed.components_ml, 4),
        "unmatched_clicks": removed.unmatched_clicks,
    }


def _segment_entry(segment: Segment, result: CaseResult, settings: RunSettings) -> dict[str, Any]:
    measurements = segment.measurements
    entry = {
        "number": segment.number,
        "class_number": segment.class_number,
        "label": segment.label,
        "volume_ml": round(measurements.volume_ml, 4),
        **(_round_floats(asdict(measurements.uptake)) if measurements.uptake else {}),
    }
    return {**entry, "statistics": _statistics(segment, result)} if settings.statistics else entry


def _statistics(segment: Segment, result: CaseResult) -> dict[str, Any]:
    """Returns the mean, standard deviation and range of the values in a segment, in the unit of the series."""
    series = result.case.reference_series
    values = series.volume.array[result.labels.mask(segment.class_number)].astype(np.float64)
    statistics = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
    return {"unit": series.unit, **{key: round(float(value), 4) for key, value in statistics.items()}}


def _round_floats(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def _log_cases(plan: RunPlan) -> None:
    for case in plan.cases:
        clicks = _describe_clicks(case.clicks)
        files = case.series_files
        logger.info("%s series in %s: model %s, %s", files.modality, files.folder, plan.package.name, clicks)
        if needs_roles(plan.package.spec, ()):
            named = zip(plan.package.spec.inputs, case.series, strict=True)
            folders = ", ".join(f"{entry.name} in {series.files.folder}" for entry, series in named)
            logger.info("inputs of model %s: %s", plan.package.name, folders)
        if (studies := len({series.files.study_uid for series in case.series})) > 1:
            logger.warning("the inputs of model %s are series of %d studies", plan.package.name, studies)
        for repair in files.applied_repairs:
            logger.warning("%s series in %s: %s", files.modality, files.folder, repair)
        if not has_foreground_click(case.clicks.points) and plan.package.spec.postprocessing.keep == "clicked":
            logger.warning(
                "model %s expects foreground clicks: without them, the result can also contain normal organs",
                plan.package.name,
            )


def _log_unused_input(plan: RunPlan) -> None:
    for skipped in plan.skipped_without_error:
        files = skipped.files
        if files.modality in _RESULT_MODALITIES:
            continue
        level = logging.WARNING if files.modality in plan.package.modalities else logging.INFO
        logger.log(level, "skipped: %s in %s: %s", files.modality, files.folder, skipped.reason)
    for failed in plan.failures:
        files = failed.files
        logger.warning("%s in %s cannot be segmented: %s", files.modality, files.folder, failed.reason)
    for reason, count in plan.ignored_files.items():
        if reason not in _ROUTINE_REASONS:
            logger.warning("ignored: %s: %s", format_count(count, "file"), reason)
    for name in plan.ignored_click_files:
        logger.warning("ignored: the clicks of %s", name)


def _describe_clicks(clicks: Clicks) -> str:
    polarities = [click.polarity for click in clicks.points]
    counts = ", ".join(f"{polarities.count(p)} {p.value}" for p in Polarity if p in polarities)
    if clicks.source:
        return f"{format_count(len(clicks.points), 'click')} of {clicks.source}{f' ({counts})' if counts else ''}"
    return "no clicks"
