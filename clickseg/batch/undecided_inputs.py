"""The error about series of which it cannot be decided which input of a model they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clickseg.batch.description_patterns import describe
from clickseg.batch.series_choice import SeriesChoice
from clickseg.core.errors import InputError
from clickseg.core.text import escape_unprintable, format_count, join_names
from clickseg.dicom.series import SeriesGeometry
from clickseg.models.package import ModelPackage
from clickseg.models.spec import InputSpec

_MAX_LISTED = 12


def undecided_error(
    choice: SeriesChoice, package: ModelPackage, open_inputs: Mapping[int, Sequence[SeriesGeometry]]
) -> InputError:
    """Returns the error about inputs whose series cannot be decided.

    Args:
        choice: The series in one frame of reference.
        package: The model.
        open_inputs: The series that belong to each of these inputs, by the number of the input.
    """
    inputs = package.spec.inputs
    modalities = {modality for entry in inputs for modality in entry.modalities}
    found = [_format_series(series) for series in choice.regular if series.files.modality in modalities]
    texts = []
    for number, candidates in open_inputs.items():
        wants = f"{' or '.join(inputs[number].modalities)}, {_format_patterns(inputs[number])}"
        uids = join_names([series.files.series_uid for series in candidates], 4)
        texts.append(f"{inputs[number].name} ({wants}) matches {uids or 'none'}")
    others = f". Series in other frames of reference do not count: {choice.elsewhere}" if choice.elsewhere else ""
    return InputError(
        f"model {package.name}: cannot decide which series is which input: {'; '.join(texts)}. "
        f"Found: {join_names(found, _MAX_LISTED)}{others}",
        hint=_hint(choice, inputs, open_inputs),
    )


def _hint(
    choice: SeriesChoice, inputs: Sequence[InputSpec], open_inputs: Mapping[int, Sequence[SeriesGeometry]]
) -> str:
    if open_inputs.get(0) == [] and choice.is_named:
        return f"--series must contain the series of the first input, {inputs[0].name}; --input names those of others"
    number, candidates = next(iter(open_inputs.items()))
    example = candidates[0].files.series_uid if candidates else "UID"
    return f"name the series of each input, such as --input '{inputs[number].name}={example}'"


def _format_series(series: SeriesGeometry) -> str:
    description = escape_unprintable(describe(series.files))[:64]
    images = format_count(len(series.stack.planes), "image")
    return f"{series.files.series_uid} ({series.files.modality}, {description or 'no description'}, {images})"


def _format_patterns(entry: InputSpec) -> str:
    patterns = [pattern for pattern in entry.descriptions if not pattern.startswith("!")]
    return f"described as {join_names(patterns, 2)}" if patterns else "any description"
