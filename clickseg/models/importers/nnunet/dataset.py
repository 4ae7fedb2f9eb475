"""Reads ``dataset.json``: the names of the channels, and the labels, which are classes or regions that overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from clickseg.core.errors import ModelError
from clickseg.core.validation import validate_record
from clickseg.models.importers.nnunet.plans import Record
from clickseg.models.importers.sections import class_sections

DATASET = "dataset.json"
CHANNEL_KEYS = ("channel_names", "modality")
"""The key of the names of channels, and its old name."""

_BACKGROUND, _IGNORE = "background", "ignore"
_MAX_LABEL, _MAX_CHANNELS = 1023, 64

_Label = Annotated[int, Field(ge=0, le=_MAX_LABEL)]
_Region = Annotated[tuple[_Label, ...], Field(min_length=1, max_length=_MAX_LABEL)]
_Names = Annotated[dict[str, str], Field(min_length=1, max_length=_MAX_CHANNELS)]


class _Dataset(Record):
    """The parts of ``dataset.json`` that are used."""

    channel_names: _Names | None = None
    modality: _Names | None = None
    labels: Annotated[dict[str, _Label | _Region], Field(min_length=2, max_length=_MAX_LABEL + 2)]
    regions_class_order: tuple[_Label, ...] | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """The output channels of the network.

    Attributes:
        channels: Their number.
        classes: The classes of the section, in the order of their channels.
        are_regions: Whether the channels are regions that overlap, of which a later one overwrites an earlier one.
    """

    channels: int
    classes: list[dict[str, Any]]
    are_regions: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """The content of ``dataset.json``.

    Attributes:
        channel_names: The names of the input channels.
        channel_key: The key of these names.
        labels: The output channels.
        keys: All keys.
    """

    channel_names: tuple[str, ...]
    channel_key: str
    labels: Labels
    keys: tuple[str, ...]


def read_dataset(content: Any) -> Dataset:
    """Returns the content of the file.

    Raises:
        ModelError: A value is missing, or contradicts another.
    """
    dataset = validate_record(_Dataset, content, DATASET, ModelError)
    key = CHANNEL_KEYS[0] if dataset.channel_names is not None else CHANNEL_KEYS[1]
    names = dataset.channel_names or dataset.modality
    if names is None:
        raise ModelError(f"{DATASET}: channel_names: missing")
    if set(names) != {str(number) for number in range(len(names))}:
        raise ModelError(f"{DATASET}: {key}: expected the keys 0 to {len(names) - 1}, got {', '.join(names)[:80]}")
    ordered = tuple(names[str(number)] for number in range(len(names)))
    return Dataset(ordered, key, _read_labels(dataset), tuple(content))


def _read_labels(dataset: _Dataset) -> Labels:
    labels = dict(dataset.labels)
    if labels.pop(_BACKGROUND, None) != 0:
        raise ModelError(f"{DATASET}: labels: expected {_BACKGROUND}: 0, got {dataset.labels.get(_BACKGROUND)}")
    ignored = labels.pop(_IGNORE, None)
    values = {value for label in labels.values() for value in _values(label)}
    if ignored is not None and ignored != max(values, default=0) + 1:
        raise ModelError(f"{DATASET}: labels: {_IGNORE}: expected the largest label, got {ignored}")
    foreground = {name: label for name, label in labels.items() if set(_values(label)) != {0}}
    if not foreground:
        raise ModelError(f"{DATASET}: labels: expected labels besides {_BACKGROUND}")
    if any(len(_values(label)) > 1 for label in labels.values()):
        return _read_regions(list(foreground), dataset.regions_class_order)
    return _read_exclusive({name: _values(label)[0] for name, label in foreground.items()})


def _read_regions(names: list[str], order: tuple[int, ...] | None) -> Labels:
    """Returns the labels of regions; channels are in the order of the file."""
    if order is None or len(order) != len(names) or len(set(order)) != len(order) or 0 in order:
        got = "nothing" if order is None else list(order)
        raise ModelError(f"{DATASET}: regions_class_order: expected {len(names)} different labels above 0, got {got}")
    return Labels(len(names), class_sections(names, first_channel=0), are_regions=True)


def _read_exclusive(labels: dict[str, int]) -> Labels:
    """Returns the labels of classes that exclude each other; channel 0 is background."""
    names = {value: name for name, value in labels.items()}
    if len(names) < len(labels) or set(names) != set(range(1, len(names) + 1)):
        raise ModelError(f"{DATASET}: labels: expected the numbers 0 to {len(labels)}, got {sorted(labels.values())}")
    ordered = [names[value] for value in sorted(names)]
    return Labels(len(names) + 1, class_sections(ordered, first_channel=1), are_regions=False)


def _values(label: int | tuple[int, ...]) -> tuple[int, ...]:
    return label if isinstance(label, tuple) else (label,)
