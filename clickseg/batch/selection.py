"""Selects the series to segment, and for each the series for the other inputs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clickseg.batch.input_roles import (
    assign_roles,
    described_references,
    has_first_input,
    named_inputs,
    needs_roles,
)
from clickseg.batch.series_choice import SeriesChoice, is_among
from clickseg.core.errors import ClickSegError, InputError, ModelError
from clickseg.dicom.series import SeriesGeometry, has_required_corrections
from clickseg.dicom.series_files import SeriesFiles, format_series_list
from clickseg.models.package import ModelPackage

InputSeries: TypeAlias = tuple[SeriesGeometry, ...]
"""One series for each input of a model. The first is the reference series: the result refers to it."""


@dataclass(frozen=True, slots=True)
class SkippedSeries:
    """A series that is not segmented.

    Attributes:
        files: The files of the series.
        reason: Why it is not segmented.
        is_error: Whether the series should have been segmented, so that the run fails in part.
    """

    files: SeriesFiles
    reason: ClickSegError
    is_error: bool


def select_references(
    wanted: Sequence[SeriesGeometry], package: ModelPackage, *, is_named: bool
) -> tuple[SeriesGeometry, ...]:
    """Returns the series to segment: those of the model's modalities.

    Of the PET series of a study, those that are not corrected for attenuation are excluded if another one is corrected,
    unless the user named the series.

    Raises:
        ModelError: No series has a modality of the model.
    """
    suitable = tuple(series for series in wanted if series.files.modality in package.modalities)
    if not suitable:
        present = format_series_list([series.files for series in wanted])
        raise ModelError(
            f"model {package.name} is for {' or '.join(package.modalities)}: the "
            f"{'selected series' if is_named else 'series in the input'} are {present}",
            hint="`clickseg models list` shows the models and their modalities",
        )
    pet = [series for series in suitable if series.files.modality == "PT"]
    corrected_studies = {series.files.study_uid for series in pet if has_required_corrections(series)}
    return tuple(
        series
        for series in suitable
        if is_named or has_required_corrections(series) or series.files.study_uid not in corrected_studies
    )


def match_inputs(choice: SeriesChoice, package: ModelPackage) -> tuple[list[InputSeries], list[SkippedSeries]]:
    """Finds the series for each input of the model.

    Args:
        choice: The series to choose from.
        package: The model.

    Returns:
        The input series of each reference, and the references for which an input is missing.

    Raises:
        InputError: An input is missing for every reference, or it cannot be decided which series is which input.
        UsageError: Series that the user named for inputs cannot be these inputs.
    """
    if needs_roles(package.spec, choice.input_uids):
        return _match_roles(choice, package)
    inputs: list[InputSeries] = []
    incomplete: list[SkippedSeries] = []
    for reference in described_references(choice, package.spec):
        try:
            inputs.append(_find_inputs(reference, choice.regular, choice.wanted, package))
        except InputError as error:
            incomplete.append(SkippedSeries(reference.files, error, is_error=True))
    if not inputs:
        raise incomplete[0].reason
    return inputs, incomplete


def _match_roles(choice: SeriesChoice, package: ModelPackage) -> tuple[list[InputSeries], list[SkippedSeries]]:
    """Finds the inputs in each frame of reference with a series to segment, or in that of the named series."""
    named = named_inputs(choice, package)
    candidates = list(named.values()) or choice.references
    frames = dict.fromkeys(series.files.frame_of_reference_uid for series in candidates)
    inputs: list[InputSeries] = []
    incomplete: list[tuple[int, SkippedSeries]] = []
    for part in map(choice.in_frame, frames):
        try:
            inputs.append(assign_roles(part, named, package))
        except InputError as error:
            reference = (part.references or part.regular)[0].files
            skipped = SkippedSeries(reference, error, is_error=has_first_input(part, package))
            incomplete.append((len(part.regular), skipped))
    if not inputs:
        raise max(incomplete, key=lambda each: each[0])[1].reason
    return inputs, [skipped for _, skipped in incomplete]


def _find_inputs(
    reference: SeriesGeometry,
    regular: Sequence[SeriesGeometry],
    wanted: Sequence[SeriesGeometry],
    package: ModelPackage,
) -> InputSeries:
    """Returns a series for each input of the model, all in the frame of reference of the first.

    If several series match an input, the one that the user named is used.
    """
    inputs = [reference]
    for spec in package.spec.inputs[1:]:
        unused = [series for series in regular if not is_among(series, inputs)]
        matching = [series for series in unused if _matches_input(series, spec.modality, reference)]
        named = [series for series in matching if is_among(series, wanted)]
        chosen = matching if len(matching) == 1 else named
        if len(chosen) != 1:
            raise InputError(
                f"model {package.name}: input {spec.name}: expected one {spec.modality} series in frame of reference "
                f"{reference.files.frame_of_reference_uid}, got {len(matching)}: "
                f"{format_series_list([series.files for series in matching]) or 'none'}",
                hint="--series UID,UID selects the series to use" if matching else None,
            )
        inputs.append(chosen[0])
    return tuple(inputs)


def _matches_input(series: SeriesGeometry, modality: str, reference: SeriesGeometry) -> bool:
    files = series.files
    has_same_frame = files.frame_of_reference_uid == reference.files.frame_of_reference_uid
    return files.modality == modality and has_same_frame and has_required_corrections(series)
