"""Deciding what to run: which series, with which model, guided by which clicks. Headers only, no pixel is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickseg.batch.click_assignment import assign, find_reports
from clickseg.batch.selection import Inputs, Skipped, keys_of, match_inputs, references
from clickseg.batch.settings import RunSettings
from clickseg.clicks.click import Clicks, say_what_is_meant
from clickseg.clicks.find import find_clicks
from clickseg.core.errors import ClickError, ClickSegError, InputError
from clickseg.core.memory import Memory
from clickseg.dicom.files import scan
from clickseg.dicom.predecessor import EarlierResult
from clickseg.dicom.read import wanted_series
from clickseg.dicom.series import Candidate, CheckedSeries, check_all
from clickseg.dicom.volume import Series
from clickseg.models.find import choose_package, find_packages
from clickseg.models.package import ModelPackage
from clickseg.results.segmentation import check_encoding

_VALUE_BYTES, _LABEL_BYTES = 4, 1


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
        skipped: The series that are not segmented, each with its reason.
        clicks_passed_over: Click files and SRs that do not count.
        files_passed_over: How many files were left aside, by reason.
    """

    package: ModelPackage
    tasks: tuple[Task, ...]
    skipped: tuple[Skipped, ...]
    clicks_passed_over: tuple[str, ...]
    files_passed_over: dict[str, int]

    @property
    def series_passed_over(self) -> tuple[Skipped, ...]:
        """The skipped series that are no errors."""
        return tuple(each for each in self.skipped if not each.is_error)

    @property
    def failures(self) -> tuple[Skipped, ...]:
        """The skipped series that are errors of the run."""
        return tuple(each for each in self.skipped if each.is_error)

    def __len__(self) -> int:
        """How many outcomes a run of it has."""
        return len(self.tasks) + len(self.failures)


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
    formed, rejected = check_all(found, settings.remedies)
    wanted = wanted_series(formed, rejected, settings.series_uids, found)
    package = _choose_package(settings, wanted, formed)
    check_encoding(package.spec, settings.segmentation_type)
    is_named = bool(settings.series_uids)
    inputs, incomplete = match_inputs(references(wanted, package, is_named=is_named), formed, wanted, package)
    files = find_clicks(settings.clicks, settings.input, settings.clicks_frame)
    assigned = assign(inputs, files, find_reports(found.instances))
    tasks = [Task(*each) for each in zip(inputs, assigned.clicks, assigned.earlier, strict=True)]
    unclicked: list[Skipped] = []
    if not clicks_follow:
        tasks, unclicked = _split(tasks, lambda task: _check_clicked(task, package), is_error=is_named)
    tasks, too_large = _split(tasks, lambda task: _check_memory(task, settings.runtime.memory), is_error=True)
    no_volumes = [Skipped(each.candidate, each.error, is_error=False) for each in rejected]
    skipped = [*no_volumes, *incomplete, *unclicked, *too_large]
    used = keys_of(skipped).union(*map(keys_of, inputs))
    unused = [_unused(each, package, is_named=is_named) for each in formed if each.candidate.key not in used]
    return Plan(package, tuple(tasks), (*skipped, *unused), assigned.passed_over, dict(found.passed_over))


def plan_series(series: Inputs, settings: RunSettings) -> Plan:
    """Plans a run on one series, or on one series for each input of the model.

    Args:
        series: The series; the result refers to the first.
        settings: The run.

    Raises:
        ClickError: Clicks cannot be read, are not for the series, or the model needs one and there is none.
        ModelError: No model fits, or not just one does.
        MemoryLimitError: The series do not fit into memory.
        UsageError: The result of the model cannot be encoded as it was asked for.
    """
    package = _choose_package(settings, series[:1], series)
    check_encoding(package.spec, settings.segmentation_type)
    assigned = assign([series], find_clicks(settings.clicks, settings.input, settings.clicks_frame), ())
    task = Task(series, assigned.clicks[0])
    _check_clicked(task, package)
    _check_memory(task, settings.runtime.memory)
    return Plan(package, (task,), (), assigned.passed_over, {})


def _choose_package(
    settings: RunSettings, wanted: Sequence[CheckedSeries], formed: Sequence[CheckedSeries]
) -> ModelPackage:
    """Returns the package that was asked for, else the one that fits the series."""
    if isinstance(settings.model, ModelPackage):
        return settings.model
    packages = find_packages(settings.models, settings.model)
    if settings.model is not None:
        return packages[0]
    return choose_package(packages, _modalities(wanted), _modalities(formed))


def _split(tasks: Sequence[Task], check: Callable[[Task], None], *, is_error: bool) -> tuple[list[Task], list[Skipped]]:
    """Returns the tasks that pass a check, and the series that do not.

    Raises:
        ClickSegError: None passes; the error is that of the first.
    """
    passed: list[Task] = []
    skipped: list[Skipped] = []
    for task in tasks:
        try:
            check(task)
            passed.append(task)
        except ClickSegError as error:
            skipped.append(Skipped(task.candidate, error, is_error))
    if not passed:
        raise skipped[0].reason
    return passed, skipped


def _check_clicked(task: Task, package: ModelPackage) -> None:
    """Refuses a series without a foreground click, for a model that needs one."""
    guidance = package.spec.guidance
    if guidance is not None and guidance.required and not say_what_is_meant(task.clicks.points):
        raise ClickError(
            f"model {package.name}: expected a foreground click, got none: only clicks say what is meant",
            hint="clicks: --clicks FILE; click by click: --session FOLDER; another model: --model NAME",
        )


def _check_memory(task: Task, memory: Memory) -> None:
    """Refuses volumes that do not fit into memory with the label map, by headers alone.

    Whatever else a run takes comes on top: ``StitchChoice`` knows more once there is a network.
    """
    shapes = [series.stack.geometry.spatial_shape for series in task.series]
    unread = [shape for shape, series in zip(shapes, task.series, strict=True) if not isinstance(series, Series)]
    needed = sum(math.prod(shape) for shape in unread) * _VALUE_BYTES + math.prod(shapes[0]) * _LABEL_BYTES
    memory.check(needed, f"{' and '.join(' x '.join(map(str, shape)) for shape in shapes)} voxels")


def _unused(series: CheckedSeries, package: ModelPackage, *, is_named: bool) -> Skipped:
    """Returns a series that the run has no use for."""
    if series.candidate.modality in package.modalities:
        reason = "not asked for" if is_named else "not corrected for attenuation, and another series is"
    else:
        reason = f"model {package.name} takes {package.takes}"
    return Skipped(series.candidate, InputError(reason), is_error=False)


def _modalities(series: Sequence[CheckedSeries]) -> set[str]:
    return {each.candidate.modality for each in series}
