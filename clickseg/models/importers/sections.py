"""Parts of the ``clickseg`` section that every reader writes alike: classes, and the modality and unit of an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.roles import role_descriptions
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

_MAX_NAME = 64
_MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR", "PT": "PT", "PET": "PT"}
_UNITS = {"CT": "HU", "PT": "SUVbw", "MR": ""}
"""The unit of the images of each modality."""


def class_sections(names: Sequence[str], *, first_channel: int) -> list[dict[str, Any]]:
    """Returns the ``classes`` of the section: name and channel; codes and colours are found by the name.

    Args:
        names: The names of the channels from ``first_channel`` on, as the source writes them. Names that are empty or
            used twice get their channel number.
        first_channel: The channel of the first name: 1 if channel 0 is background.
    """
    cleaned = [printable_text(name.replace("\\", " "), _MAX_NAME) for name in names]
    sections, used = [], set()
    for channel, name in enumerate(cleaned, first_channel):
        unique = name or f"class {channel}"
        if unique.casefold() in used:
            unique = f"{unique[: _MAX_NAME - 8]} {channel}"
        used.add(unique.casefold())
        sections.append({"name": unique, "channel": channel})
    return sections


def input_sections(names: Sequence[str], fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the ``inputs`` of the section of a model with several images, with descriptions by their names.

    Args:
        names: The names as the source writes them. Names that are empty or used twice get their number.
        fields: The other fields, which all inputs have.
    """
    sections: list[dict[str, Any]] = []
    used: set[str] = set()
    for number, name in enumerate(names, 1):
        cleaned = printable_text(name.replace(",", " ").replace("=", " "), _MAX_NAME)
        unique = cleaned if cleaned and cleaned not in used else f"image {number}"
        used.add(unique)
        descriptions = role_descriptions(cleaned)
        sections.append({**fields, "name": unique, **({"descriptions": descriptions} if descriptions else {})})
    return sections


def printable_text(text: str, length: int) -> str:
    """Returns a text on one line without characters that are not printable, such as those that change its direction.

    Args:
        text: A text of the source.
        length: The length to which it is shortened.
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:length].rstrip()


def modality_and_unit(modality: str, options: ImportOptions, where: str) -> dict[str, str]:
    """Returns ``modality`` and ``unit`` of an input.

    Args:
        modality: The modality as the source writes it, such as ``MRI``.
        options: A stated unit takes precedence; PET must have one, because SUV and Bq/ml differ by a factor of
            thousands.
        where: The key of the source, for messages.

    Raises:
        ModelError: The modality is not CT, MR or PET, or PET has no stated unit.
    """
    known = _MODALITIES.get(modality.strip().upper())
    if known is None:
        raise ModelError(f"{where}: expected the modality CT, MR or PET, got {modality!r}")
    if options.unit is None and known == "PT":
        raise ModelError(
            f"{where}: the unit of the PET images is not stated",
            hint="state it with --unit SUVbw, if the model was trained on standardized uptake values",
        )
    return {"modality": known, "unit": _UNITS[known] if options.unit is None else options.unit}


def check_unit(modality: str, unit: str, where: str) -> None:
    """Rejects a unit that images of a modality do not have.

    Args:
        modality: CT, MR or PT.
        unit: The unit; empty for none.
        where: What states the unit, for messages.

    Raises:
        ModelError: Images of this modality have another unit.
    """
    expected = _UNITS[modality]
    if unit != expected:
        raise ModelError(f"{where}: expected {modality} with the unit {expected or 'none'}, got {unit or 'none'}")


def unit_notes(image: Mapping[str, Any], options: ImportOptions, number: int = 0) -> tuple[ImportNote, ...]:
    """Returns the assumption about the unit of an input whose source does not state it; MR has no unit.

    Args:
        image: The input of the section, with the result of ``modality_and_unit``.
        options: With the unit, if the user states it.
        number: The position of the input.
    """
    if options.unit is not None or image["modality"] != "CT":
        return ()
    text = "HU: the source does not state the unit of its CT images; state it with --unit"
    return (ImportNote(f"inputs.{number}.unit", Outcome.ASSUMED, text),)


def axes_notes(subject: str, options: ImportOptions) -> tuple[ImportNote, ...]:
    """Returns the assumption about the axes of images that are not turned.

    Args:
        subject: What does not turn them, such as ``the bundle``.
        options: With the axes, if the user states them.
    """
    text = (
        f"{subject} does not turn images: the network sees the axes of the series; if the training images were stored "
        "with other axes, state them with --stored-axes, such as LPS"
    )
    return () if options.stored_axes else (ImportNote("grid.orientation", Outcome.ASSUMED, text),)
