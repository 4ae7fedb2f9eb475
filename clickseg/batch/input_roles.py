"""Decides which series is which input of a model: by the user, by the descriptions of the series, by elimination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clickseg.batch.description_patterns import describe, match_specificity
from clickseg.batch.series_choice import InputUids, SeriesChoice, is_among, series_key
from clickseg.batch.undecided_inputs import undecided_error
from clickseg.core.errors import InputError, UsageError
from clickseg.dicom.series import SeriesGeometry, has_required_corrections
from clickseg.models.package import ModelPackage
from clickseg.models.spec import InputSpec, ModelSpec

_OPTION = "input"

Numbered = Mapping[int, SeriesGeometry]
"""Series by the number of the input, from 0."""


def needs_roles(spec: ModelSpec, input_uids: InputUids) -> bool:
    """Whether the modality does not tell which series is which input, or the user names series for inputs."""
    modalities = [modality for entry in spec.inputs for modality in entry.modalities]
    are_described = len(spec.inputs) > 1 and any(entry.descriptions for entry in spec.inputs)
    return bool(input_uids) or len(set(modalities)) < len(modalities) or are_described


def described_references(choice: SeriesChoice, spec: ModelSpec) -> Sequence[SeriesGeometry]:
    """Returns the series that the only input of a model describes; all if it describes none, or with ``--series``."""
    patterns, references = spec.inputs[0].descriptions, choice.references
    if not patterns or len(spec.inputs) > 1 or choice.is_named:
        return references
    described = [series for series in references if match_specificity(patterns, describe(series.files)) is not None]
    return described or references


def named_inputs(choice: SeriesChoice, package: ModelPackage) -> Numbered:
    """Returns the series that the user named for inputs.

    Raises:
        UsageError: The model has no such input, or a series is named for two inputs.
        InputError: A series consists of several volumes, has another modality than the input, or the series are not in
            one frame of reference.
    """
    inputs = package.spec.inputs
    names = [entry.name for entry in inputs]
    if isinstance(choice.input_uids, tuple):
        uids = dict(enumerate(choice.input_uids))
    else:
        unknown = [name for name in choice.input_uids if names.count(name) != 1]
        if unknown:
            raise UsageError(
                f"{_OPTION}: model {package.name} has no input {unknown[0]!r:.80}: expected one of {', '.join(names)}"
            )
        uids = {names.index(name): uid for name, uid in choice.input_uids.items()}
    for uid in uids.values():
        users = [names[number] for number, other in uids.items() if other == uid]
        if len(users) > 1:
            raise UsageError(f"{_OPTION}: series {uid} is named for {' and '.join(users)}: expected different series")
    named = {number: _find_volume(uid, choice.regular) for number, uid in uids.items()}
    for number, series in named.items():
        _check_modality(inputs[number], series)
    frames = {series.files.frame_of_reference_uid for series in named.values()}
    if len(frames) > 1:
        raise InputError(f"{_OPTION}: expected series in one frame of reference, got {', '.join(sorted(frames))}")
    return named


def assign_roles(choice: SeriesChoice, named: Numbered, package: ModelPackage) -> tuple[SeriesGeometry, ...]:
    """Returns one series for each input of a model.

    A series belongs to the input with the most specific pattern that matches its description. An input takes the only
    series that belongs to it; series that another input has taken no longer count. If only one input has a modality,
    and no description matches, it takes the only series of the modality.

    Args:
        choice: The series in one frame of reference.
        named: The series that the user named for inputs.
        package: The model.

    Raises:
        InputError: It cannot be decided which series is which input; the message lists the series and the inputs.
    """
    inputs = package.spec.inputs
    free = [series for series in choice.regular if not is_among(series, named.values())]
    belonging = _series_by_input(choice, free, [n for n in range(len(inputs)) if n not in named], inputs)
    decided, open_inputs = {**named}, {**belonging}
    while singles := {number: found[0] for number, found in open_inputs.items() if len(found) == 1}:
        if len({series_key(series) for series in singles.values()}) < len(singles):
            break
        decided |= singles
        open_inputs = {
            number: [series for series in found if not is_among(series, singles.values())]
            for number, found in open_inputs.items()
            if number not in singles
        }
    if open_inputs:
        raise undecided_error(choice, package, {number: belonging[number] for number in open_inputs})
    return tuple(decided[number] for number in range(len(inputs)))


def has_first_input(choice: SeriesChoice, package: ModelPackage) -> bool:
    """Whether a series in one frame of reference belongs to the first input."""
    inputs = package.spec.inputs
    return bool(_series_by_input(choice, choice.regular, range(len(inputs)), inputs)[0])


def _series_by_input(
    choice: SeriesChoice, free: Sequence[SeriesGeometry], numbers: Iterable[int], inputs: Sequence[InputSpec]
) -> dict[int, list[SeriesGeometry]]:
    """Returns the series that belong to some inputs; of several, those that the user named with ``--series``.

    Patterns of the other inputs count too: a series that another input describes better does not belong to these.
    """
    ranks = [_specificities(entry, free) for entry in inputs]
    best: dict[str, int] = {}
    for found in ranks:
        best |= {key: max(length, best.get(key, 0)) for key, length in found.items()}
    belonging = {}
    for number in numbers:
        accepted = _acceptable(choice, free, number, inputs[number])
        own = [
            series for series in accepted if ranks[number].get(series_key(series)) == best.get(series_key(series), -1)
        ]
        is_only = not any({*other.modalities} & {*inputs[number].modalities} for other in _others(inputs, number))
        belonging[number] = _prefer_wanted(own or (accepted if is_only else []), choice.wanted)
    return belonging


def _specificities(entry: InputSpec, free: Sequence[SeriesGeometry]) -> dict[str, int]:
    """Returns how specific the patterns of an input are for each series of its modality that they match."""
    suitable = [series for series in free if series.files.modality in entry.modalities]
    lengths = {series_key(each): match_specificity(entry.descriptions, describe(each.files)) for each in suitable}
    return {key: length for key, length in lengths.items() if length is not None}


def _acceptable(
    choice: SeriesChoice, free: Sequence[SeriesGeometry], number: int, entry: InputSpec
) -> list[SeriesGeometry]:
    """Returns the series whose modality and corrections an input accepts."""
    suitable = [series for series in free if series.files.modality in entry.modalities]
    if number == 0:
        return [series for series in suitable if is_among(series, choice.references)]
    return [series for series in suitable if has_required_corrections(series)]


def _prefer_wanted(found: list[SeriesGeometry], wanted: Sequence[SeriesGeometry]) -> list[SeriesGeometry]:
    if len(found) < 2:
        return found
    return [series for series in found if is_among(series, wanted)] or found


def _others(inputs: Sequence[InputSpec], number: int) -> list[InputSpec]:
    return [entry for other, entry in enumerate(inputs) if other != number]


def _find_volume(uid: str, regular: Sequence[SeriesGeometry]) -> SeriesGeometry:
    found = [series for series in regular if series.files.series_uid == uid]
    if len(found) != 1:
        raise InputError(f"{_OPTION}: series {uid}: expected one volume, got {len(found)}")
    return found[0]


def _check_modality(entry: InputSpec, series: SeriesGeometry) -> None:
    if series.files.modality not in entry.modalities:
        raise InputError(
            f"{_OPTION}: {entry.name}: expected a series with the modality {' or '.join(entry.modalities)}, got "
            f"{series.files}"
        )
