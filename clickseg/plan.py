"""Deciding what to run: which series, with which model, guided by which clicks. Headers only, no pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clickseg.clicks.click import Clicks
from clickseg.clicks.read import find_clicks
from clickseg.dicom.files import Scan, scan
from clickseg.dicom.remedies import Remedies
from clickseg.dicom.series import Candidate, CheckedSeries, check, group
from clickseg.dicom.suv import is_attenuation_corrected
from clickseg.errors import ClickError, ClickSegError, InputError, ModelError
from clickseg.models.choice import choose_package, find_packages
from clickseg.models.package import ModelPackage
from clickseg.settings import Settings
from clickseg.wording import counted


@dataclass(frozen=True, slots=True)
class Task:
    """One run of the model.

    Attributes:
        series: One series for each input of the model; the result refers to the first.
        clicks: The clicks for it; empty where there are none.
    """

    series: tuple[CheckedSeries, ...]
    clicks: Clicks

    @property
    def candidate(self) -> Candidate:
        """The series that the result refers to."""
        return self.series[0].candidate


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A series that is not segmented, and why."""

    candidate: Candidate
    reason: ClickSegError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do.

    Attributes:
        package: The model.
        tasks: At least one.
        series_passed_over: The other series of the input.
        clicks_passed_over: Click files that do not count.
        files_passed_over: How many files were left aside, by reason.
    """

    package: ModelPackage
    tasks: tuple[Task, ...]
    series_passed_over: tuple[PassedOver, ...]
    clicks_passed_over: tuple[str, ...]
    files_passed_over: dict[str, int]


def make_plan(settings: Settings) -> Plan:
    """Decides what to run.

    Raises:
        InputError: The input is damaged, there is no series that the model could take, or the one asked for is not
            there or forms no volume.
        ClickError: Clicks cannot be read, or it is not clear for which series they are.
        ModelError: No model fits, or not just one does.
    """
    found = scan(settings.input)
    found.check_undamaged()
    formed, failed = check_all(group(found.instances), settings.remedies)
    wanted = _wanted(formed, failed, settings.series_uid, found)
    modalities = {series.candidate.modality for series in formed}
    package = choose_package(
        find_packages(settings.models),
        settings.model,
        {each.candidate.modality for each in wanted},
        modalities,
    )
    references = _references(wanted, package, is_named=settings.series_uid is not None)
    inputs = [_inputs(reference, formed, package) for reference in references]
    clicks = find_clicks(settings.clicks, found.folder)
    used = {id(series.candidate) for each in inputs for series in each}
    unused = tuple(_unused(series, package) for series in formed if id(series.candidate) not in used)
    tasks = _tasks(inputs, clicks.clicks)
    return Plan(package, tasks, (*failed, *unused), clicks.passed_over, dict(found.passed_over))


def check_all(
    candidates: Sequence[Candidate], remedies: Remedies
) -> tuple[tuple[CheckedSeries, ...], tuple[PassedOver, ...]]:
    """Returns the candidates that form a volume, and those that do not."""
    formed: list[CheckedSeries] = []
    failed: list[PassedOver] = []
    for candidate in candidates:
        try:
            formed.append(check(candidate, remedies))
        except InputError as error:
            failed.append(PassedOver(candidate, error))
    return tuple(formed), tuple(failed)


def _wanted(
    formed: Sequence[CheckedSeries], failed: Sequence[PassedOver], series_uid: str | None, found: Scan
) -> tuple[CheckedSeries, ...]:
    """Returns the series that were asked for, or all; at least one."""
    wanted = tuple(series for series in formed if series_uid in (None, series.candidate.series_uid))
    if wanted:
        return wanted
    named = [each for each in failed if each.candidate.series_uid == series_uid]
    images = named or [each for each in failed if each.candidate.instances]
    if len(images) == 1 and (named or series_uid is None):
        raise images[0].reason
    if series_uid is not None and not named:
        known = [series.candidate for series in formed] + [each.candidate for each in failed]
        raise InputError(f"no series {series_uid} in the input: there are {_listed(known)}")
    reasons = "; ".join(f"{_name(each.candidate)}: {each.reason}" for each in (images or failed)[:4])
    raise InputError(
        f"no CT, MR or PET series in the input forms a volume ({counted(len(found.instances), 'DICOM file')}): "
        f"{reasons or 'there are none'}",
        hint="clickseg inspect shows every series and what is wrong with it",
    )


def _references(wanted: Sequence[CheckedSeries], package: ModelPackage, *, is_named: bool) -> tuple[CheckedSeries, ...]:
    """Returns the series to segment: those of the model's modality, corrected PET before uncorrected."""
    modality = package.modalities[0]
    fitting = tuple(series for series in wanted if series.candidate.modality == modality)
    if not fitting:
        raise ModelError(
            f"model {package.name} is for {modality}: the series here are {_listed([s.candidate for s in wanted])}",
            hint="clickseg models shows which model is for what",
        )
    corrected = tuple(series for series in fitting if _is_corrected(series))
    return fitting if is_named or not corrected else corrected


def _is_corrected(series: CheckedSeries) -> bool:
    return series.candidate.modality != "PT" or is_attenuation_corrected(series.candidate.first.header)


def _inputs(
    reference: CheckedSeries, formed: Sequence[CheckedSeries], package: ModelPackage
) -> tuple[CheckedSeries, ...]:
    """Returns a series for each input of the model, all in the frame of reference of the first."""
    frame = reference.candidate.frame_of_reference_uid
    inputs = [reference]
    for spec in package.spec.inputs[1:]:
        matching = [
            series
            for series in formed
            if series.candidate.modality == spec.modality
            and series.candidate.frame_of_reference_uid == frame
            and _is_corrected(series)
            and series not in inputs
        ]
        if len(matching) != 1:
            raise InputError(
                f"model {package.name}: input {spec.name}: expected one {spec.modality} series in frame of reference "
                f"{frame}, got {len(matching)}: {_listed([series.candidate for series in matching]) or 'none'}"
            )
        inputs.append(matching[0])
    return tuple(inputs)


def _unused(series: CheckedSeries, package: ModelPackage) -> PassedOver:
    if series.candidate.modality == package.modalities[0]:
        reason = "not asked for" if _is_corrected(series) else "not corrected for attenuation, and another series is"
    else:
        reason = f"model {package.name} takes {' + '.join(package.modalities)}"
    return PassedOver(series.candidate, InputError(reason))


def _tasks(inputs: Sequence[tuple[CheckedSeries, ...]], clicks: Clicks) -> tuple[Task, ...]:
    """Gives the clicks to the series that they are for."""
    if not clicks.points:
        return tuple(Task(series, Clicks()) for series in inputs)
    frames = {series[0].candidate.frame_of_reference_uid for series in inputs}
    if len(inputs) > 1 and len(frames) > 1 and not (clicks.series_instance_uid or clicks.frame_of_reference_uid):
        raise ClickError(
            f"{clicks.source} names no series, and there are several to segment: "
            f"{_listed([series[0].candidate for series in inputs])}",
            hint="name one with --series",
        )
    tasks = tuple(Task(series, clicks if _are_for(clicks, series[0].candidate) else Clicks()) for series in inputs)
    if not any(task.clicks.points for task in tasks):
        raise ClickError(
            f"{clicks.source}: for series {clicks.series_instance_uid or 'any'} in frame of reference "
            f"{clicks.frame_of_reference_uid or 'any'}, but to be segmented: {_listed([t.candidate for t in tasks])}"
        )
    return tasks


def _are_for(clicks: Clicks, candidate: Candidate) -> bool:
    return clicks.series_instance_uid in (None, candidate.series_uid) and clicks.frame_of_reference_uid in (
        None,
        candidate.frame_of_reference_uid,
    )


def _listed(candidates: Sequence[Candidate]) -> str:
    shown = [_name(candidate) for candidate in candidates[:6]]
    return ", ".join(shown + ["..."] * (len(candidates) > len(shown)))


def _name(candidate: Candidate) -> str:
    return f"{candidate.modality or 'no modality'} {candidate.series_uid or 'without UID'} in {candidate.folder}"
