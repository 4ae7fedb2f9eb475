"""``clickseg.segment``: the same run as ``clickseg segment``, with the results in memory."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import highdicom as hd

from clickseg.batch.plan import RunPlan, make_plan, plan_series
from clickseg.batch.report import WrittenResult, log_plan, warn_of_unmatched_clicks
from clickseg.batch.run import segment_cases
from clickseg.batch.settings import RunSettings, read_settings
from clickseg.batch.steps import Outcome, run_step
from clickseg.batch.writer import ResultWriter
from clickseg.clicks.click import Click, Clicks, ClickSequence
from clickseg.core.arguments import check_type, to_items, to_path
from clickseg.core.arrays import Mask
from clickseg.core.errors import ClickSegError, UsageError
from clickseg.core.label_map import LabelMap
from clickseg.core.progress import no_progress
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.case import CaseResult
from clickseg.inference.measurements import SegmentMeasurements
from clickseg.inference.model_sources import load_model
from clickseg.models.package import ModelPackage
from clickseg.results.documents import make_documents

logger = logging.getLogger(__name__)

PathLike: TypeAlias = str | os.PathLike[str]

_IGNORED_PREFIXES = ("CLICKSEG_", "HOLOSCAN_")
"""The prefixes of the environment variables that the Python API ignores, because it has arguments instead."""


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """The result of one series.

    Attributes:
        series_uid: Series Instance UID of the segmented series.
        class_names: The names of the model's classes, in order; the first has class number 1.
        label_map: The label map. ``label_map.array`` [K, J, I] (slice, row, column) contains class numbers, 0 for
            background, if the model's classes do not overlap.
        geometry: The grid of the label map, in LPS mm.
        measurements: By class name: volume in ml, and for PET the SUV. Classes without voxels are absent.
        clicks: The clicks that were used, with class names as labels.
        seg: The DICOM SEG; None if the result is empty.
        sr: The DICOM SR.
        files: Paths of the written files by kind: ``seg``, ``sr`` and ``preview``; empty without an output folder.
    """

    series_uid: str
    class_names: tuple[str, ...]
    label_map: LabelMap
    geometry: hd.VolumeGeometry
    measurements: Mapping[str, SegmentMeasurements]
    clicks: ClickSequence
    seg: hd.seg.Segmentation | None
    sr: hd.sr.Comprehensive3DSR
    files: Mapping[str, Path]

    def mask(self, class_name: str) -> Mask:
        """Returns the voxels [K, J, I] of a class.

        Raises:
            UsageError: The model has no class of this name.
        """
        if class_name not in self.class_names:
            raise UsageError(f"unknown class {class_name!r}: expected one of {', '.join(self.class_names)}")
        return self.label_map.mask(self.class_names.index(class_name) + 1)


@dataclass(frozen=True, slots=True)
class FailedSeries:
    """A series that could not be segmented.

    Attributes:
        series_uid: The Series Instance UID.
        error: The reason.
    """

    series_uid: str
    error: ClickSegError


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a run: a sequence of the results of its series.

    Attributes:
        series: The results, at least one.
        failures: The series that failed.
        model: The model that was run.
    """

    series: tuple[SeriesResult, ...]
    failures: tuple[FailedSeries, ...]
    model: ModelPackage

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[SeriesResult]:
        return iter(self.series)

    def __getitem__(self, index: int) -> SeriesResult:
        return self.series[index]


def segment(
    input: PathLike | SeriesVolume | Sequence[SeriesVolume],
    output: PathLike | None = None,
    *,
    clicks: PathLike | Click | Sequence[PathLike] | Sequence[Click] | None = None,
    model: PathLike | ModelPackage | None = None,
    input_series: Mapping[str, str] | None = None,
    device: str = "auto",
) -> Results:
    """Segments series, guided by clicks; the results are those of ``clickseg segment``.

    Args:
        input: A folder with DICOM files, or one file: every series that fits the model is segmented. Or a series in
            memory, or one for each input of the model.
        output: The folder for the files that ``clickseg segment`` writes; None to write no files.
        clicks: Paths of one or several click files, or clicks in LPS mm; an empty sequence for no clicks. None for the
            click file in the input folder, or else for each series the newest DICOM SR with clicks.
        model: A model, its name or its path, as for ``load_model``. None for the model that fits the series.
        input_series: For a folder and a model with several images: Series Instance UIDs by the name of the input.
        device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The results, and the errors of the series that failed.

    Raises:
        ClickSegError: No series could be run, every series failed (the error is that of the first), or the results
            cannot be written. Then no file is written.
    """
    check_type(device, str, "device")
    check_type({} if input_series is None else input_series, Mapping, "input_series")
    for name, uid in (input_series or {}).items():
        check_type(name, str, "input_series: name")
        check_type(uid, str, f"input_series: {name}")
    package = model if model is None or isinstance(model, ModelPackage) else load_model(model)
    click_sources = _click_sources(clicks)
    if isinstance(input, str | os.PathLike):
        settings = _default_settings(to_path(input, "input"), output, device)
        settings = replace(settings, model=package, clicks=click_sources, input_uids=dict(input_series or {}))
        plan = make_plan(settings)
    elif input_series:
        raise UsageError("input_series: expected a folder: series in memory are in the order of the inputs")
    else:
        series = to_items(input, SeriesVolume, "input")
        if not series:
            raise UsageError("input: expected at least one series, got none")
        first = series[0].files.first_instance.path  # as the input is one image, no other file is searched for clicks
        settings = replace(_default_settings(first, output, device), model=package, clicks=click_sources)
        plan = plan_series(series, settings)
    log_plan(plan)
    with ExitStack() as stack:
        write: Callable[[Outcome[CaseResult]], Outcome[WrittenResult]] = partial(_make_documents, settings=settings)
        if output is not None:
            write = stack.enter_context(ResultWriter(plan, settings)).write
        return _collect_results(plan, settings, write)


def _default_settings(path: Path, output: PathLike | None, device: str) -> RunSettings:
    """Returns the settings of the command without options, and without the environment variables of its options."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_IGNORED_PREFIXES)}
    folder = Path(tempfile.gettempdir()) if output is None else to_path(output, "output")
    return read_settings(path, folder, None, {"device": device}, environ)


def _click_sources(clicks: PathLike | Click | Sequence[PathLike] | Sequence[Click] | None) -> tuple[str, ...] | Clicks:
    """Returns the paths of click files, or clicks in memory; no path if the input must be searched for clicks.

    Raises:
        UsageError: The argument contains neither paths nor clicks, or both.
    """
    if clicks is None:
        return ()
    items: tuple[object, ...]
    if isinstance(clicks, str | bytes | os.PathLike | Click) or not isinstance(clicks, Iterable):
        items = (clicks,)
    else:
        items = tuple(clicks)
    points = tuple(item for item in items if isinstance(item, Click))
    if len(points) == len(items):
        return Clicks(points, source="clicks" if points else "")
    paths = tuple(os.fspath(item) for item in items if isinstance(item, str | os.PathLike))
    if len(paths) < len(items):
        kinds = ", ".join(sorted({type(item).__name__ for item in items}))
        raise UsageError(f"clicks: expected paths of click files, or Click objects, got {kinds}")
    return paths


def _make_documents(outcome: Outcome[CaseResult], settings: RunSettings) -> Outcome[WrittenResult]:
    """Makes the documents of a result without writing them."""
    warn_of_unmatched_clicks(outcome)

    def make(result: CaseResult) -> WrittenResult:
        return WrittenResult(make_documents(result, settings.clock, settings.segmentation_type), {})

    return run_step(outcome, "writing", make)


def _collect_results(
    plan: RunPlan, settings: RunSettings, write: Callable[[Outcome[CaseResult]], Outcome[WrittenResult]]
) -> Results:
    """Runs a plan, and collects its results; the values of each series are freed before the next one is read."""
    series: list[SeriesResult] = []
    failures: list[FailedSeries] = []
    for outcome in map(write, segment_cases(plan, settings, no_progress)):
        if isinstance(outcome.value, ClickSegError):
            failures.append(FailedSeries(outcome.series_files.series_uid, outcome.value))
        else:
            series.append(_series_result(outcome.value, settings.output))
        del outcome
    if not series:
        raise failures[0].error
    for failed in failures:
        logger.error("%s: %s", failed.series_uid, failed.error)
    return Results(tuple(series), tuple(failures), plan.package)


def _series_result(written: WrittenResult, output: Path) -> SeriesResult:
    documents = written.documents
    result, segmentation = documents.result, documents.segmentation
    reference = result.case.reference_series
    return SeriesResult(
        series_uid=reference.files.series_uid,
        class_names=tuple(class_spec.name for class_spec in result.case.package.spec.classes),
        label_map=result.labels,
        geometry=reference.volume.get_geometry(),
        measurements={segment.label: segment.measurements for segment in documents.segments},
        clicks=result.case.clicks.points,
        seg=None if segmentation is None else segmentation.dataset,
        sr=documents.structured_report.dataset,
        files={kind: output / name for kind, name in written.file_names.items()},
    )
