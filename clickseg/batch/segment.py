"""``clickseg.segment``: a run as the command makes it, with its results in memory."""

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

from clickseg.batch.plan import Plan, make_plan, plan_series
from clickseg.batch.report import Written, log_plan, log_result
from clickseg.batch.run import segment_cases
from clickseg.batch.settings import RunSettings, read_settings
from clickseg.batch.steps import Outcome, run_step
from clickseg.batch.writer import ResultWriter
from clickseg.clicks.click import Click, Clicks, Points
from clickseg.core.arguments import check_type, to_items, to_path
from clickseg.core.arrays import Mask
from clickseg.core.errors import ClickSegError, UsageError
from clickseg.core.label_map import LabelMap
from clickseg.core.progress import no_progress
from clickseg.dicom.volume import Series
from clickseg.inference.case import Result
from clickseg.inference.measurements import Measured
from clickseg.models.find import load_model
from clickseg.models.package import ModelPackage
from clickseg.results.documents import make_documents

logger = logging.getLogger(__name__)

PathLike: TypeAlias = str | os.PathLike[str]

_NOT_READ = ("CLICKSEG_", "HOLOSCAN_")
"""Environment variables of the command and the application: a library takes arguments."""


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """The result of one series.

    Attributes:
        series_uid: Series Instance UID of the series that was segmented.
        classes: The names of the model's classes; the first has number 1.
        labels: The label map; ``labels.array`` [K, J, I] (slice, row, column) holds class numbers, 0 for none, where
            the model's classes exclude each other.
        geometry: The grid of the label map, in LPS mm.
        measurements: By class name: volume in ml, and for PET the SUV; without the classes that were not found.
        clicks: The clicks that were used, with class names as labels.
        seg: The DICOM SEG; None where nothing was found.
        sr: The DICOM SR.
        files: The written files by kind: ``seg``, ``sr`` and ``preview``; empty without an output folder.
    """

    series_uid: str
    classes: tuple[str, ...]
    labels: LabelMap
    geometry: hd.VolumeGeometry
    measurements: Mapping[str, Measured]
    clicks: Points
    seg: hd.seg.Segmentation | None
    sr: hd.sr.Comprehensive3DSR
    files: Mapping[str, Path]

    def mask(self, name: str) -> Mask:
        """Returns the voxels [K, J, I] of a class.

        Raises:
            UsageError: The model has no class of this name.
        """
        if name not in self.classes:
            raise UsageError(f"no class {name!r}: expected one of {', '.join(self.classes)}")
        return self.labels.mask(self.classes.index(name) + 1)


@dataclass(frozen=True, slots=True)
class FailedSeries:
    """A series that could not be segmented.

    Attributes:
        series_uid: Its Series Instance UID.
        error: The reason.
    """

    series_uid: str
    error: ClickSegError


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a run; as a sequence, those of its series.

    Attributes:
        series: The results, at least one.
        errors: The series that failed.
        model: The model that was run.
    """

    series: tuple[SeriesResult, ...]
    errors: tuple[FailedSeries, ...]
    model: ModelPackage

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[SeriesResult]:
        return iter(self.series)

    def __getitem__(self, index: int) -> SeriesResult:
        return self.series[index]


def segment(
    input: PathLike | Series | Sequence[Series],
    output: PathLike | None = None,
    *,
    clicks: PathLike | Click | Sequence[PathLike] | Sequence[Click] | None = None,
    model: PathLike | ModelPackage | None = None,
    device: str = "auto",
) -> Results:
    """Segments series, guided by clicks; the results are those of ``clickseg segment``.

    Args:
        input: A folder with DICOM files, or one file: every series that the model is for is segmented. Or a series in
            memory, or one for each input of the model.
        output: The folder for the files that ``clickseg segment`` writes; None to write nothing.
        clicks: A click file or several, or clicks in LPS mm; empty for none. None takes the click file in the input
            folder, else for each series the newest DICOM SR with clicks.
        model: A model, its name or its path, as ``load_model`` takes them. None for the one that fits the series.
        device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The results, and the errors of the series that failed.

    Raises:
        ClickSegError: Nothing could be run, every series failed (the error is that of the first), or the results cannot
            be written; then nothing is.
    """
    check_type(device, str, "device")
    chosen = model if model is None or isinstance(model, ModelPackage) else load_model(model)
    sources = _click_sources(clicks)
    if isinstance(input, str | os.PathLike):
        settings = replace(_default_settings(to_path(input, "input"), output, device), model=chosen, clicks=sources)
        plan = make_plan(settings)
    else:
        series = to_items(input, Series, "input")
        if not series:
            raise UsageError("input: expected at least one series, got none")
        first = series[0].candidate.first.path  # of a file alone, no other file counts as clicks
        settings = replace(_default_settings(first, output, device), model=chosen, clicks=sources)
        plan = plan_series(series, settings)
    log_plan(plan)
    with ExitStack() as stack:
        document: Callable[[Outcome[Result]], Outcome[Written]] = partial(_document, settings=settings)
        if output is not None:
            document = stack.enter_context(ResultWriter(plan, settings)).write
        return _collect(plan, settings, document)


def _default_settings(path: Path, output: PathLike | None, device: str) -> RunSettings:
    """Returns the settings of the command without options: of the environment, only what is no option of it counts."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_READ)}
    folder = Path(tempfile.gettempdir()) if output is None else to_path(output, "output")
    return read_settings(path, folder, None, {"device": device}, environ)


def _click_sources(clicks: PathLike | Click | Sequence[PathLike] | Sequence[Click] | None) -> tuple[str, ...] | Clicks:
    """Returns click files by path, or clicks in memory; no files where the input is to be searched.

    Raises:
        UsageError: They are neither paths nor clicks.
    """
    if clicks is None:
        return ()
    given: tuple[object, ...]
    if isinstance(clicks, str | bytes | os.PathLike | Click) or not isinstance(clicks, Iterable):
        given = (clicks,)
    else:
        given = tuple(clicks)
    points = tuple(each for each in given if isinstance(each, Click))
    if len(points) == len(given):
        return Clicks(points, source="clicks" if points else "")
    paths = tuple(os.fspath(each) for each in given if isinstance(each, str | os.PathLike))
    if len(paths) < len(given):
        kinds = ", ".join(sorted({type(each).__name__ for each in given}))
        raise UsageError(f"clicks: expected paths of click files, or Click objects, got {kinds}")
    return paths


def _document(outcome: Outcome[Result], settings: RunSettings) -> Outcome[Written]:
    """Makes the documents of a result, and writes nothing."""
    log_result(outcome)

    def make(result: Result) -> Written:
        return Written(make_documents(result, settings.clock, settings.segmentation_type), {})

    return run_step(outcome, "writing", make)


def _collect(plan: Plan, settings: RunSettings, document: Callable[[Outcome[Result]], Outcome[Written]]) -> Results:
    """Runs a plan, and keeps what users are given; of each series the values are freed before the next one is read."""
    series: list[SeriesResult] = []
    errors: list[FailedSeries] = []
    for outcome in map(document, segment_cases(plan, settings, no_progress)):
        if isinstance(outcome.value, ClickSegError):
            errors.append(FailedSeries(outcome.candidate.series_uid, outcome.value))
        else:
            series.append(_series_result(outcome.value, settings.output))
        del outcome
    if not series:
        raise errors[0].error
    for each in errors:
        logger.error("%s: %s", each.series_uid, each.error)
    return Results(tuple(series), tuple(errors), plan.package)


def _series_result(written: Written, output: Path) -> SeriesResult:
    documents = written.documents
    result, segmentation = documents.result, documents.segmentation
    reference = result.case.reference
    return SeriesResult(
        series_uid=reference.candidate.series_uid,
        classes=tuple(each.name for each in result.case.package.spec.classes),
        labels=result.labels,
        geometry=reference.volume.get_geometry(),
        measurements={segment.label: segment.measured for segment in documents.segments},
        clicks=result.case.clicks.points,
        seg=None if segmentation is None else segmentation.dataset,
        sr=documents.report.dataset,
        files={kind: output / name for kind, name in written.files.items()},
    )
