"""Deciding what to run: which series, with which model, guided by which clicks. Headers only, no pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clickseg.batch.capacity import too_large
from clickseg.batch.click_assignment import assign, find_reports
from clickseg.batch.selection import (
    Inputs,
    PassedOver,
    check_all,
    match_inputs,
    references,
    wanted_series,
)
from clickseg.batch.settings import RunSettings
from clickseg.clicks.click import Clicks, say_what_is_meant
from clickseg.clicks.read import find_clicks
from clickseg.dicom.files import scan
from clickseg.dicom.predecessor import EarlierResult
from clickseg.dicom.segmentation_type import check_encoding
from clickseg.dicom.series import Candidate, CheckedSeries
from clickseg.errors import ClickError, InputError
from clickseg.models.choice import choose_package, find_packages
from clickseg.models.package import ModelPackage


@dataclass(frozen=True, slots=True)
class Task:
    """One run of the model.

    Attributes:
        series: The inputs of the model.
        clicks: The clicks for it; empty where there are none.
        earlier: Results of earlier runs for it, the newest first.
    """

    series: Inputs
    clicks: Clicks
    earlier: tuple[EarlierResult, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """The series that the result refers to."""
        return self.series[0].candidate


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do.

    Attributes:
        package: The model.
        tasks: At least one.
        lacking: Series that cannot be segmented, for want of another input of the model, of memory, or, of those that
            were named, of clicks that the model needs.
        series_passed_over: The other series of the input.
        clicks_passed_over: Click files and SRs that do not count.
        files_passed_over: How many files were left aside, by reason.
    """

    package: ModelPackage
    tasks: tuple[Task, ...]
    lacking: tuple[PassedOver, ...]
    series_passed_over: tuple[PassedOver, ...]
    clicks_passed_over: tuple[str, ...]
    files_passed_over: dict[str, int]

    def __len__(self) -> int:
        """How many outcomes a run of it has."""
        return len(self.tasks) + len(self.lacking)


def make_plan(settings: RunSettings, *, clicks_follow: bool = False) -> Plan:
    """Decides what to run.

    Args:
        settings: The run.
        clicks_follow: Whether a model that needs clicks begins without, as in a session.

    Raises:
        InputError: The input is damaged, there is no series that the model could take, or one that was asked for is not
            there or forms no volume.
        ClickError: Clicks cannot be read, it is not clear for which series they are, or the model needs one and no
            series has any.
        ModelError: No model fits, or not just one does.
        MemoryLimitError: No series fits into memory.
        UsageError: The result of the model cannot be encoded as it was asked for.
    """
    found = scan(settings.input)
    found.check_undamaged(settings.series_uids)
    formed, failed = check_all(found, settings.remedies)
    wanted = wanted_series(formed, failed, settings.series_uids, found)
    package = _package(settings, wanted, formed)
    check_encoding(package.spec, settings.segmentation_type)
    is_named = bool(settings.series_uids)
    wanted_references = references(wanted, package, is_named=is_named)
    matched, lacking = match_inputs(wanted_references, formed, wanted, package)
    files = find_clicks(settings.clicks, settings.input, settings.clicks_frame)
    assigned = assign(matched, files, find_reports(found.instances))
    tasks = [Task(*each) for each in zip(matched, assigned.clicks, assigned.earlier, strict=True)]
    unclicked = [] if clicks_follow else _unclicked(tasks, package)
    if is_named:
        lacking += unclicked
    else:
        failed = (*failed, *unclicked)
    tasks = [task for task in tasks if id(task.candidate) not in {id(each.candidate) for each in unclicked}]
    reasons = too_large([task.series for task in tasks], settings.runtime.memory)
    lacking += [PassedOver(task.candidate, reason) for task, reason in zip(tasks, reasons, strict=True) if reason]
    used = {id(series.candidate) for each in matched for series in each} | {id(each.candidate) for each in lacking}
    unused = tuple(_unused(series, package, is_named=is_named) for series in formed if id(series.candidate) not in used)
    return Plan(
        package,
        tuple(task for task, reason in zip(tasks, reasons, strict=True) if reason is None),
        tuple(lacking),
        (*failed, *unused),
        assigned.passed_over,
        dict(found.passed_over),
    )


def _package(settings: RunSettings, wanted: Sequence[CheckedSeries], formed: Sequence[CheckedSeries]) -> ModelPackage:
    """Returns the package that was asked for, else the one that fits the series."""
    packages = find_packages(settings.models, settings.model)
    if settings.model is not None:
        return packages[0]
    return choose_package(packages, _modalities(wanted), _modalities(formed))


def _unclicked(tasks: Sequence[Task], package: ModelPackage) -> list[PassedOver]:
    """Returns the series that nobody clicked, for a model that needs it.

    Raises:
        ClickError: These are all of them.
    """
    guidance = package.spec.guidance
    if guidance is None or not guidance.required:
        return []
    unclicked = [task for task in tasks if not say_what_is_meant(task.clicks.points)]
    error = ClickError(
        f"model {package.name}: expected a foreground click, got none: only clicks say what is meant",
        hint="clicks: --clicks FILE; click by click: --session FOLDER; another model: --model NAME",
    )
    if len(unclicked) == len(tasks):
        raise error
    return [PassedOver(task.candidate, error) for task in unclicked]


def _modalities(series: Sequence[CheckedSeries]) -> set[str]:
    return {each.candidate.modality for each in series}


def _unused(series: CheckedSeries, package: ModelPackage, *, is_named: bool) -> PassedOver:
    if series.candidate.modality in package.modalities:
        reason = "not asked for" if is_named else "not corrected for attenuation, and another series is"
    else:
        reason = f"model {package.name} takes {package.takes}"
    return PassedOver(series.candidate, InputError(reason))
