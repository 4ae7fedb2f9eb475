"""Reads what the metadata of a bundle state: the image, and the names of the channels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.sections import class_sections, modality_and_unit, unit_notes
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

_FORMAT = "network_data_format"
USED_KEYS = frozenset({_FORMAT, "version"})
"""The keys of the metadata on which the translation depends."""

_BACKGROUND = "background"
_LABELS = "labels"
_HOUNSFIELD = "hounsfield"
"""The ``format`` of CT images in HU."""


def read_version(metadata: Mapping[str, Any]) -> str:
    """Returns the version of a bundle; ``0`` if it has none."""
    version = metadata.get("version")
    text = re.sub(r"[^\w.+-]", "", str(version) if isinstance(version, str | int | float) else "")
    return text[:64] or "0"


def read_image(
    metadata: Mapping[str, Any], options: ImportOptions
) -> tuple[dict[str, Any], list[str], tuple[ImportNote, ...]]:
    """Returns name, modality and unit of the image, the names of its channels, and what was done with the metadata.

    Raises:
        ModelError: The metadata have no input image, or several, or its modality is not known.
    """
    inputs = _channel_formats(metadata, "inputs")
    images = {name: entry for name, entry in inputs.items() if entry.get("type", "image") == "image"}
    if len(images) != 1:
        raise ModelError(f"metadata.json: {_FORMAT}#inputs: expected one image, got {', '.join(images) or 'none'}")
    ((name, entry),) = images.items()
    where = f"{_FORMAT}#inputs#{name}#modality"
    modality = entry.get("modality")
    if not isinstance(modality, str):
        raise ModelError(f"metadata.json: {where}: expected CT, MR or PET, got {modality!r:.80}")
    try:
        described = modality_and_unit(modality, options, f"metadata.json: {where}")
    except ModelError as error:
        raise ModelError(str(error), hint=error.hint or f"state it with --set {where}=CT") from error
    names = _names(entry.get("channel_def"))
    count = entry.get("num_channels")
    count = count if isinstance(count, int) and 0 < count <= 1024 else max(len(names), 1)
    notes = (
        *(unit_notes(described, options) if entry.get("format") != _HOUNSFIELD else ()),
        ImportNote(where, Outcome.TRANSLATED, "inputs.modality, inputs.unit"),
        ImportNote("metadata.json", Outcome.IGNORED, "all but the version, modalities, and names of channels is text"),
    )
    channels = [names.get(channel, f"channel {channel}") for channel in range(count)]
    return {"name": name, **described}, channels, notes


def read_classes(
    metadata: Mapping[str, Any], labels: Any, channels: int, activation: str
) -> tuple[list[dict[str, Any]], tuple[ImportNote, ...]]:
    """Returns the classes of the section, and where their names are from.

    Args:
        metadata: The metadata of the bundle.
        labels: The value of ``labels`` in its configuration, the numbers of channels by name; anything else is
            ignored.
        channels: The number of output channels.
        activation: ``softmax``, whose channel 0 is background, or ``sigmoid``.

    Raises:
        ModelError: The names contradict the channels.
    """
    output, entry = next(iter(_channel_formats(metadata, "outputs").items()), ("pred", {}))
    candidates = {
        f"{_FORMAT}#outputs#{output}#channel_def": _names(entry.get("channel_def")),
        f"{_FORMAT}#outputs#{output}#label_def": _names(entry.get("label_def")),
        _LABELS: _names(_inverse(labels)),
    }
    key = next((key for key, names in candidates.items() if names), "")
    names = candidates.get(key, {})
    is_background = names.get(0, "").casefold() == _BACKGROUND
    first = 1 if activation == "softmax" or (is_background and channels > 1) else 0
    if not key:
        text = "the bundle does not name its classes: numbered by channel"
        return class_sections([""] * (channels - first), first_channel=first), (
            ImportNote("classes", Outcome.ASSUMED, text),
        )
    chosen, dropped = _names_of_classes(names, range(first, channels), key)
    sections = class_sections([chosen.get(channel, "") for channel in range(first, channels)], first_channel=first)
    return sections, (ImportNote(key, Outcome.TRANSLATED, "classes"), *_name_notes(chosen, dropped, sections))


def _names_of_classes(names: Mapping[int, str], channels: range, key: str) -> tuple[dict[int, str], list[str]]:
    """Returns the names of the channels with a class, and the names that no class has.

    Args:
        names: The names of channels, or of labels, as the bundle states them.
        channels: The channels that have a class.
        key: The key of the names, for messages.

    Raises:
        ModelError: The names contradict the channels.
    """
    is_background = names.get(0, "").casefold() == _BACKGROUND
    if is_background and channels == range(1):  # a label map: 0 is background, 1 is the only channel
        if set(names) != {0, 1}:
            raise _contradiction(key, names, 0, "the only channel is a class, not the background")
        return {0: names[1]}, [names[0]]
    if 0 in names and not is_background and channels.start == 1 and max(names) == channels.stop - 2:
        raise _contradiction(key, names, 1, f"of {channels.stop} channels, channel 0 is background")
    chosen = {channel: name for channel, name in names.items() if channel in channels}
    return chosen, [
        name for channel, name in names.items() if channel not in channels and not (channel == 0 and is_background)
    ]


def _contradiction(key: str, names: Mapping[int, str], first: int, reason: str) -> ModelError:
    got = ", ".join(f"{channel}: {name}" for channel, name in sorted(names.items())[:4])
    where, example = ("", f'{{"NAME": {first}}}') if key == _LABELS else ("metadata.json: ", f'{{"{first}": "NAME"}}')
    return ModelError(
        f"{where}{key}: {reason}; got the names {got[:200]!r}", hint=f"state them: --set '{key}={example}'"
    )


def _name_notes(
    chosen: Mapping[int, str], dropped: Sequence[str], sections: Sequence[Mapping[str, Any]]
) -> tuple[ImportNote, ...]:
    """Returns the assumptions about the names: those without a class, and the classes without a name."""
    texts = []
    if dropped:
        texts.append(f"the network has no class for the names {join_names(dropped, 12)}")
    unnamed = [str(section["channel"]) for section in sections if section["channel"] not in chosen]
    if unnamed:
        texts.append(f"the bundle does not name the channels {join_names(unnamed, 12)}: numbered")
    return tuple(ImportNote("classes", Outcome.ASSUMED, text) for text in texts)


def output_channel_count(metadata: Mapping[str, Any]) -> int | None:
    """Returns the number of output channels that the metadata state; None if they do not."""
    counts = [entry.get("num_channels") for entry in _channel_formats(metadata, "outputs").values()]
    return next((count for count in counts if isinstance(count, int) and 0 < count <= 1024), None)


def _channel_formats(metadata: Mapping[str, Any], direction: str) -> dict[str, dict[str, Any]]:
    formats = metadata.get(_FORMAT)
    entries = formats.get(direction) if isinstance(formats, dict) else None
    pairs = entries.items() if isinstance(entries, dict) else ()
    return {name: entry for name, entry in pairs if isinstance(entry, dict)}


def _names(definition: Any) -> dict[int, str]:
    """Returns names by channel of ``{"0": "background", ...}``; other entries are ignored."""
    pairs = definition.items() if isinstance(definition, dict) else ()
    return {int(key): name for key, name in pairs if key.isdecimal() and len(key) <= 4 and isinstance(name, str)}


def _inverse(labels: Any) -> dict[str, str]:
    pairs = labels.items() if isinstance(labels, dict) else ()
    return {str(number): name for name, number in pairs if isinstance(number, int)}
