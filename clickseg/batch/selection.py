"""Which series of an input are meant, and which of them are the inputs of one run of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clickseg.core.errors import ClickSegError, InputError, ModelError
from clickseg.dicom.series import Candidate, CheckedSeries, is_corrected, listed
from clickseg.models.package import ModelPackage

Inputs: TypeAlias = tuple[CheckedSeries, ...]
"""One series for each input of a model; the result refers to the first."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A series that is not segmented.

    Attributes:
        candidate: The series.
        reason: Why not.
        is_error: Whether that makes the run fail in part: the series is one to segment, and cannot be.
    """

    candidate: Candidate
    reason: ClickSegError
    is_error: bool


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


def keys_of(series: Iterable[CheckedSeries | Skipped]) -> set[str]:
    """Returns the keys of series, by which they are looked up."""
    return {each.candidate.key for each in series}


def match_inputs(
    references: Sequence[CheckedSeries],
    formed: Sequence[CheckedSeries],
    wanted: Sequence[CheckedSeries],
    package: ModelPackage,
) -> tuple[list[Inputs], list[Skipped]]:
    """Returns a series for each input of the model, for each reference; and the references that lack one.

    Raises:
        InputError: Every reference lacks one.
    """
    inputs: list[Inputs] = []
    incomplete: list[Skipped] = []
    for reference in references:
        try:
            inputs.append(_inputs(reference, formed, wanted, package))
        except InputError as error:
            incomplete.append(Skipped(reference.candidate, error, is_error=True))
    if not inputs:
        raise incomplete[0].reason
    return inputs, incomplete


def _inputs(
    reference: CheckedSeries, formed: Sequence[CheckedSeries], wanted: Sequence[CheckedSeries], package: ModelPackage
) -> Inputs:
    """Returns a series for each input of the model, all in the frame of reference of the first.

    Of several that fit, the one that was asked for is taken.
    """
    inputs, wanted_keys = [reference], keys_of(wanted)
    for spec in package.spec.inputs[1:]:
        others = [each for each in formed if each.candidate.key not in keys_of(inputs)]
        matching = [each for each in others if _fits(each, spec.modality, reference)]
        chosen = matching if len(matching) == 1 else [each for each in matching if each.candidate.key in wanted_keys]
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
