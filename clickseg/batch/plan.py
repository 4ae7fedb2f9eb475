"""Plans a run: the series, the model, and the clicks. Reads headers only, no pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickseg.batch.click_assignment import assign_clicks, find_click_reports
from clickseg.batch.input_roles import needs_roles
from clickseg.batch.selection import InputSeries, SkippedSeries, match_inputs, select_references
from clickseg.batch.series_choice import SeriesChoice, series_keys
from clickseg.batch.settings import RunSettings
from clickseg.batch.volume_memory import check_volume_memory
from clickseg.clicks.click import Clicks, has_foreground_click
from clickseg.clicks.find import FoundClicks, find_clicks
from clickseg.core.errors import ClickError, ClickSegError, InputError
from clickseg.dicom.files import scan
from clickseg.dicom.predecessor import Predecessor
from clickseg.dicom.read import select_series
from clickseg.dicom.series import RejectedSeries, SeriesGeometry, check_all_series
from clickseg.dicom.series_files import SeriesFiles
from clickseg.inference.model_sources import find_models
from clickseg.models.find import choose_package
from clickseg.models.package import ModelPackage
from clickseg.results.segmentation import check_encoding


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """The series and the clicks of one run of the model.

    Attributes:
        series: The input series of the model.
        clicks: The clicks; may be empty.
        predecessors: Results of earlier runs for the reference series, sorted from newest to oldest.
    """

    series: InputSeries
    clicks: Clicks
    predecessors: tuple[Predecessor, ...] = ()

    @property
    def series_files(self) -> SeriesFiles:
        """The files of the reference series."""
        return self.series[0].files


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The cases of a run, and the input that it does not use.

    Attributes:
        package: The model.
        cases: The cases to segment, at least one.
        skipped: The series that are not segmented, each with the reason.
        ignored_click_files: Click files and SRs with clicks that are not used.
        ignored_files: The number of ignored files, by reason.
    """

    package: ModelPackage
    cases: tuple[PlannedCase, ...]
    skipped: tuple[SkippedSeries, ...]
    ignored_click_files: tuple[str, ...]
    ignored_files: dict[str, int]

    @property
    def skipped_without_error(self) -> tuple[SkippedSeries, ...]:
        """The skipped series that are not errors."""
        return tuple(series for series in self.skipped if not series.is_error)

    @property
    def failures(self) -> tuple[SkippedSeries, ...]:
        """The skipped series that are errors of the run."""
        return tuple(series for series in self.skipped if series.is_error)

    def __len__(self) -> int:
        """The number of outcomes of the run."""
        return len(self.cases) + len(self.failures)


def make_plan(settings: RunSettings, *, allow_no_clicks: bool = False) -> RunPlan:
    """Plans a run.

    Args:
        settings: The settings.
        allow_no_clicks: Whether a model that requires clicks is also run without clicks, as in a session.

    Raises:
        InputError: The input is damaged; no series fits the model; or a series that the user named, or that the clicks
            of a file are on, is missing or is not a regular volume.
        ClickError: Clicks cannot be read or match several series, or the model requires a foreground click and no
            series has one.
        ModelError: No model fits, or several do.
        MemoryLimitError: No series fits into memory.
        UsageError: The requested encoding cannot represent the result of the model, or the model lacks a named input.
    """
    scan_result = scan(settings.input)
    input_uids = _uids_of_inputs(settings)
    scan_result.check_undamaged((*settings.series_uids, *input_uids))
    regular, rejected = check_all_series(scan_result, settings.repairs)
    if input_uids:
        select_series(regular, rejected, input_uids, scan_result)  # reports those that are missing or rejected
    wanted = select_series(regular, rejected, settings.series_uids, scan_result)
    package = _choose_package(settings, wanted, regular)
    check_encoding(package.spec, settings.segmentation_type)
    is_named = bool(settings.series_uids)
    references = select_references(wanted, package, is_named=is_named)
    choice = SeriesChoice(references, regular, wanted, settings.input_uids, is_named)
    inputs, incomplete = match_inputs(choice, package)
    found_clicks = find_clicks(settings.clicks, settings.input, settings.clicks_frame)
    _check_clicked_series_not_rejected(found_clicks, rejected)
    assigned = assign_clicks(inputs, found_clicks, find_click_reports(scan_result.instances))
    cases = [PlannedCase(*values) for values in zip(inputs, assigned.clicks, assigned.predecessors, strict=True)]
    unclicked: list[SkippedSeries] = []
    if not allow_no_clicks:
        cases, unclicked = _split_cases(
            cases, lambda case: _check_has_foreground_click(case, package), is_error=is_named
        )
    cases, too_large = _split_cases(
        cases, lambda case: check_volume_memory(case.series, package.spec, settings.runtime.memory), is_error=True
    )
    irregular = [SkippedSeries(series.files, series.error, is_error=False) for series in rejected]
    skipped = [*irregular, *incomplete, *unclicked, *too_large]
    handled = {series.files.first_file_name for series in skipped}.union(*map(series_keys, inputs))
    unused = [
        _skip_unused(series, package, settings) for series in regular if series.files.first_file_name not in handled
    ]
    return RunPlan(package, tuple(cases), (*skipped, *unused), assigned.ignored, dict(scan_result.ignored))


def plan_series(series: InputSeries, settings: RunSettings) -> RunPlan:
    """Plans a run on one series, or on one series for each input of the model.

    Args:
        series: The series; the result refers to the first.
        settings: The settings.

    Raises:
        ClickError: Clicks cannot be read or are not on the series, or the model requires a foreground click and the
            clicks contain only background clicks or are empty.
        ModelError: No model fits, or several do.
        MemoryLimitError: The series do not fit into memory.
        UsageError: The requested encoding cannot represent the result of the model.
    """
    package = _choose_package(settings, series[:1], series)
    check_encoding(package.spec, settings.segmentation_type)
    assigned = assign_clicks([series], find_clicks(settings.clicks, settings.input, settings.clicks_frame), ())
    case = PlannedCase(series, assigned.clicks[0])
    _check_has_foreground_click(case, package)
    check_volume_memory(series, package.spec, settings.runtime.memory)
    return RunPlan(package, (case,), (), assigned.ignored, {})


def _choose_package(
    settings: RunSettings, wanted: Sequence[SeriesGeometry], regular: Sequence[SeriesGeometry]
) -> ModelPackage:
    """Returns the package that the user named, or else the one that fits the series."""
    if isinstance(settings.model, ModelPackage):
        return settings.model
    packages = find_models(settings.models, settings.model, settings.import_options, settings.runtime.cache)
    if settings.model is not None:
        return packages[0]
    return choose_package(packages, _modalities(wanted), _modalities(regular))


def _check_clicked_series_not_rejected(found_clicks: FoundClicks, rejected: Sequence[RejectedSeries]) -> None:
    """Raises the error of a rejected series if the clicks of a file are on this series."""
    clicks = found_clicks.clicks
    clicked_uid = clicks.series_instance_uid if isinstance(clicks, Clicks) else None
    for series in rejected:
        if series.files.series_uid == clicked_uid:
            raise series.error


def _split_cases(
    cases: Sequence[PlannedCase], check: Callable[[PlannedCase], None], *, is_error: bool
) -> tuple[list[PlannedCase], list[SkippedSeries]]:
    """Returns the cases that pass a check, and the series of the other cases.

    Raises:
        ClickSegError: No case passes; the error is that of the first.
    """
    passed: list[PlannedCase] = []
    skipped: list[SkippedSeries] = []
    for case in cases:
        try:
            check(case)
            passed.append(case)
        except ClickSegError as error:
            skipped.append(SkippedSeries(case.series_files, error, is_error))
    if not passed:
        raise skipped[0].reason
    return passed, skipped


def _check_has_foreground_click(case: PlannedCase, package: ModelPackage) -> None:
    """Rejects a series without a foreground click if the model requires one."""
    guidance = package.spec.guidance
    if guidance is not None and guidance.required and not has_foreground_click(case.clicks.points):
        raise ClickError(
            f"model {package.name}: expected a foreground click, got none: the model segments only clicked objects",
            hint="pass clicks with --clicks FILE, click step by step with --session FOLDER, "
            "or use another model with --model NAME",
        )


def _uids_of_inputs(settings: RunSettings) -> tuple[str, ...]:
    uids = settings.input_uids
    return uids if isinstance(uids, tuple) else tuple(uids.values())


def _skip_unused(series: SeriesGeometry, package: ModelPackage, settings: RunSettings) -> SkippedSeries:
    """Returns a series that the run does not use, with the reason."""
    inputs = package.spec.inputs
    is_described = needs_roles(package.spec, settings.input_uids) or bool(inputs[0].descriptions)
    if is_described and any(series.files.modality in entry.modalities for entry in inputs):
        reason = f"not chosen as an input of model {package.name}"
    elif series.files.modality in package.modalities:
        is_named = bool(settings.series_uids)
        reason = "not selected with --series" if is_named else "not corrected for attenuation, but another series is"
    else:
        reason = f"model {package.name} is for {package.modalities_text}"
    return SkippedSeries(series.files, InputError(reason), is_error=False)


def _modalities(series: Sequence[SeriesGeometry]) -> set[str]:
    return {geometry.files.modality for geometry in series}
