"""Which series of an input are meant, and which of them are the inputs of one run of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clickseg.dicom.files import Scan
from clickseg.dicom.remedies import Remedies
from clickseg.dicom.series import Candidate, CheckedSeries, check, group
from clickseg.dicom.suv import is_attenuation_corrected
from clickseg.errors import ClickSegError, InputError, ModelError
from clickseg.models.package import ModelPackage
from clickseg.wording import counted

Inputs: TypeAlias = tuple[CheckedSeries, ...]
"""One series for each input of a model; the result refers to the first."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A series that is not segmented, and why."""

    candidate: Candidate
    reason: ClickSegError


def check_all(found: Scan, remedies: Remedies) -> tuple[tuple[CheckedSeries, ...], tuple[PassedOver, ...]]:
    """Returns the series of a scan that form a volume, and those that do not."""
    formed: list[CheckedSeries] = []
    failed: list[PassedOver] = []
    for candidate in group(found.instances):
        try:
            found.check_series(candidate.series_uid)
            formed.append(check(candidate, remedies))
        except InputError as error:
            failed.append(PassedOver(candidate, error))
    return tuple(formed), tuple(failed)


def wanted_series(
    formed: Sequence[CheckedSeries], failed: Sequence[PassedOver], uids: Sequence[str], found: Scan
) -> tuple[CheckedSeries, ...]:
    """Returns the series that were asked for, or all; at least one.

    Raises:
        InputError: One that was asked for is not there or forms no volume, or none forms one.
    """
    for uid in uids:
        _check_usable(uid, formed, failed)
    wanted = tuple(series for series in formed if not uids or series.candidate.series_uid in uids)
    if wanted:
        return wanted
    images = [each for each in failed if each.candidate.instances]
    if len(images) == 1:
        raise images[0].reason
    reasons = "; ".join(f"{_named(each.candidate)}: {each.reason}" for each in (images or failed)[:4])
    raise InputError(
        f"no CT, MR or PET series in the input forms a volume ({counted(len(found.instances), 'DICOM file')}): "
        f"{reasons or 'there are none'}",
        hint="clickseg inspect shows every series and what is wrong with it",
    )


def _check_usable(uid: str, formed: Sequence[CheckedSeries], failed: Sequence[PassedOver]) -> None:
    """Refuses a series that was asked for and is not there, or forms no volume."""
    if any(series.candidate.series_uid == uid for series in formed):
        return
    for each in failed:
        if each.candidate.series_uid == uid:
            raise each.reason
    known = [series.candidate for series in formed] + [each.candidate for each in failed]
    raise InputError(f"no series {uid} in the input: there are {listed(known) or 'none'}")


def references(wanted: Sequence[CheckedSeries], package: ModelPackage, *, is_named: bool) -> tuple[CheckedSeries, ...]:
    """Returns the series to segment: of the model's modalities; of a study's PET the corrected, where there is one.

    Raises:
        ModelError: None is of a modality of the model.
    """
    fitting = tuple(series for series in wanted if series.candidate.modality in package.modalities)
    if not fitting:
        there = listed([series.candidate for series in wanted])
        raise ModelError(
            f"model {package.name} is for {' or '.join(package.modalities)}: the series here are {there}",
            hint="clickseg models shows which model is for what",
        )
    pet = [series for series in fitting if series.candidate.modality == "PT"]
    corrected = {series.candidate.study_uid for series in pet if is_corrected(series)}
    return tuple(
        series for series in fitting if is_named or is_corrected(series) or series.candidate.study_uid not in corrected
    )


def is_corrected(series: CheckedSeries) -> bool:
    """Whether a series is no PET, or PET that is corrected for attenuation."""
    return series.candidate.modality != "PT" or is_attenuation_corrected(series.candidate.first.header)


def match_inputs(
    references: Sequence[CheckedSeries],
    formed: Sequence[CheckedSeries],
    wanted: Sequence[CheckedSeries],
    package: ModelPackage,
) -> tuple[list[Inputs], list[PassedOver]]:
    """Returns a series for each input of the model, for each reference; and the references that lack one.

    Raises:
        InputError: Every reference lacks one.
    """
    inputs: list[Inputs] = []
    lacking: list[PassedOver] = []
    for reference in references:
        try:
            inputs.append(_inputs(reference, formed, wanted, package))
        except InputError as error:
            lacking.append(PassedOver(reference.candidate, error))
    if not inputs:
        raise lacking[0].reason
    return inputs, lacking


def _inputs(
    reference: CheckedSeries, formed: Sequence[CheckedSeries], wanted: Sequence[CheckedSeries], package: ModelPackage
) -> Inputs:
    """Returns a series for each input of the model, all in the frame of reference of the first.

    Of several that fit, the one that was asked for is taken.
    """
    inputs = [reference]
    for spec in package.spec.inputs[1:]:
        matching = [each for each in formed if each not in inputs and _fits(each, spec.modality, reference)]
        chosen = matching if len(matching) == 1 else [each for each in matching if each in wanted]
        if len(chosen) != 1:
            raise InputError(
                f"model {package.name}: input {spec.name}: expected one {spec.modality} series in frame of reference "
                f"{reference.candidate.frame_of_reference_uid}, got {len(matching)}: "
                f"{listed([series.candidate for series in matching]) or 'none'}",
                hint="--series UID,UID names the ones to use" if matching else None,
            )
        inputs.append(chosen[0])
    return tuple(inputs)


def _fits(series: CheckedSeries, modality: str, reference: CheckedSeries) -> bool:
    candidate = series.candidate
    is_beside = candidate.frame_of_reference_uid == reference.candidate.frame_of_reference_uid
    return candidate.modality == modality and is_beside and is_corrected(series)


def listed(candidates: Sequence[Candidate]) -> str:
    """Returns series as messages list them."""
    shown = [_named(candidate) for candidate in candidates[:6]]
    return ", ".join(shown + ["..."] * (len(candidates) > len(shown)))


def _named(candidate: Candidate) -> str:
    return f"{candidate.modality or 'no modality'} {candidate.series_uid or 'without UID'} in {candidate.folder}"
