"""Finds the modality and the unit of the input channels, of which nnU-Net states only names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.nnunet.dataset import DATASET, Dataset
from clickseg.models.importers.nnunet.intensities import CT, UNIT_FREE, channel_scaling, normalization
from clickseg.models.importers.nnunet.plans import Plans
from clickseg.models.importers.roles import role_descriptions
from clickseg.models.importers.sections import modality_and_unit, printable_text, unit_notes
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "CT": re.compile(r"(ce|nc|cb)?ct"),
    "PT": re.compile(r"pt|pet|suv|fdg|psma"),
    "MR": re.compile(r"mr|t1|t2|flair|adc|dwi|dce|swi|pdw?$|cine|lge|bssfp"),
}
"""How the names of channels of each modality begin."""

_OF_UNIT = {"HU": "CT", "SUVbw": "PT", "": "MR"}
_MAX_NAME = 64


def input_sections(
    dataset: Dataset, plans: Plans, options: ImportOptions
) -> tuple[list[dict[str, Any]], tuple[ImportNote, ...]]:
    """Returns the field ``inputs``, and what was assumed about modalities and units.

    Raises:
        ModelError: A normalization is not supported, or the unit of PET images is not stated.
    """
    sections: list[dict[str, Any]] = []
    notes: list[ImportNote] = []
    for channel, name in enumerate(dataset.channel_names):
        own = options if channel == 0 else replace(options, unit=None)
        image, image_notes = _read_image(name, channel, plans, own)
        scaling = {"scaling": channel_scaling(plans, channel), "scale_before_resampling": True}
        sections.append({"name": _unique_name(name, channel, sections), **image, **scaling})
        notes += image_notes
    return [_told_apart(section, sections, dataset) for section in sections], tuple(notes)


def _told_apart(section: dict[str, Any], sections: Sequence[Mapping[str, Any]], dataset: Dataset) -> dict[str, Any]:
    """Returns an input with patterns of series descriptions by its name, if another one has the same modality."""
    same = [number for number, other in enumerate(sections) if other["modality"] == section["modality"]]
    own = next(number for number in same if sections[number] is section)
    patterns = role_descriptions(dataset.channel_names[own]) if len(same) > 1 else []
    return section | ({"descriptions": patterns} if patterns else {})


def _read_image(
    name: str, channel: int, plans: Plans, options: ImportOptions
) -> tuple[dict[str, str], tuple[ImportNote, ...]]:
    """Returns modality and unit of a channel, and what was assumed about them."""
    where, scheme = f"{DATASET}: channel_names#{channel}", normalization(plans, channel)
    modality = _find_modality(name)
    if modality is None:
        return _assume_image(name, channel, scheme, options)
    if modality == "PT" and options.unit is None and scheme in UNIT_FREE:
        return {"modality": "PT", "unit": "SUVbw"}, ()
    try:
        image = modality_and_unit(modality, options, where)
    except ModelError as error:
        hint = error.hint if channel == 0 else f"change the name with --set channel_names#{channel}=SUV"
        raise ModelError(str(error), hint=hint) from error
    return image, unit_notes(image, options, channel)


def _assume_image(
    name: str, channel: int, scheme: str, options: ImportOptions
) -> tuple[dict[str, str], tuple[ImportNote, ...]]:
    """Returns the modality of the stated unit, or of the normalization, for a name that states none."""
    unit = options.unit if options.unit is not None else {CT: "HU"}.get(scheme, "")
    key, modality = f"inputs.{channel}.modality", _OF_UNIT[unit]
    text = (
        f"{modality}: the name {name[:_MAX_NAME]!r} states no modality; change it with --set {key}=CT and --set "
        f"inputs.{channel}.unit=HU"
    )
    return {"modality": modality, "unit": unit}, (ImportNote(key, Outcome.ASSUMED, text),)


def _find_modality(name: str) -> str | None:
    """Returns the modality that the name of a channel states; None if it states none."""
    plain = re.sub(r"[^a-z0-9]", "", name[:_MAX_NAME].casefold())
    return next((modality for modality, pattern in _PATTERNS.items() if pattern.match(plain)), None)


def _unique_name(name: str, channel: int, others: list[dict[str, Any]]) -> str:
    cleaned = printable_text(name, _MAX_NAME)
    is_used = not cleaned or any(other["name"].casefold() == cleaned.casefold() for other in others)
    return f"{cleaned} {channel}".strip() if is_used else cleaned
