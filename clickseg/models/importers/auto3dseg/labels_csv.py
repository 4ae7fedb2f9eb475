"""Reads ``labels.csv`` of models for 3D Slicer: the names of the labels and their DICOM codes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.sections import class_sections

MAX_BYTES = 1 << 20
"""The largest table that is read."""

_MAX_LABEL = 1023
_CODES = {
    "category": "SegmentedPropertyCategoryCodeSequence",
    "type": "SegmentedPropertyTypeCodeSequence",
    "type_modifier": "SegmentedPropertyTypeModifierCodeSequence",
    "anatomic_region": "AnatomicRegionSequence",
}
_PARTS = {"value": "CodeValue", "scheme": "CodingSchemeDesignator", "meaning": "CodeMeaning"}


@dataclass(frozen=True, slots=True)
class Labels:
    """The content of a table.

    Attributes:
        classes: The classes of the section, one for each channel but the background.
        unnamed: The channels without a row.
        ignored: The columns with values that classes do not have.
    """

    classes: list[dict[str, Any]]
    unnamed: list[int]
    ignored: list[str]


def read_labels(content: bytes, channels: int, where: str) -> Labels:
    """Returns what a table states.

    Args:
        content: The table.
        channels: The number of output channels; channel 0 is background.
        where: The name of the file, for messages.

    Raises:
        ModelError: The table has no names or label values, repeats a value, or has one without a channel.
    """
    rows = _rows_by_label(content, where)
    unknown = [label for label in rows if label >= channels]
    if unknown:
        raise ModelError(f"{where}: LabelValue {unknown[0]}: expected at most {channels - 1}, the last output channel")
    names = [rows.get(channel, {}).get("Name", "") for channel in range(1, channels)]
    sections = class_sections(names, first_channel=1)
    missing = [channel for channel in range(1, channels) if channel not in rows]
    classes = [section | _codes(rows.get(section["channel"], {})) for section in sections]
    return Labels(classes, missing, _ignored_columns(rows))


def _ignored_columns(rows: Mapping[int, Mapping[str, str]]) -> list[str]:
    used = {"LabelValue", "Name", *(f"{column}.{name}" for column in _CODES.values() for name in _PARTS.values())}
    filled = {column for row in rows.values() for column, value in row.items() if isinstance(value, str) and value}
    return sorted(str(column) for column in filled - used)


def _rows_by_label(content: bytes, where: str) -> dict[int, Mapping[str, str]]:
    try:
        table = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ModelError(f"{where}: not a table of comma-separated UTF-8 text: {error}") from error
    rows: dict[int, Mapping[str, str]] = {}
    for row in table:
        value, name = (row.get(column, "").strip() for column in ("LabelValue", "Name"))
        if not value.isdecimal() or len(value) > 4 or int(value) > _MAX_LABEL or not name:
            raise ModelError(f"{where}: expected a LabelValue from 0 to {_MAX_LABEL} and a Name, got {value!r:.20}")
        if int(value) in rows:
            raise ModelError(f"{where}: LabelValue {value} is used twice")
        rows[int(value)] = row
    rows.pop(0, None)
    if not rows:
        raise ModelError(f"{where}: expected rows with LabelValue and Name")
    return rows


def _codes(row: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Returns the complete codes of a row; none without category and type, which are then found by the name."""
    codes = {
        field: {part: row.get(f"{column}.{name}", "").strip() for part, name in _PARTS.items()}
        for field, column in _CODES.items()
    }
    complete = {field: code for field, code in codes.items() if all(code.values())}
    return complete if {"category", "type"} <= set(complete) else {}
