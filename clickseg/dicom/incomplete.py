"""Finds the slices of a series that are there by name only, because a transfer or a copy was interrupted.

Such a file is empty, or contains something else, such as the error page of a server. Only its name shows that it is a
slice: the name differs from those of the slices in a number. Without these files the volume is too short, and nothing
else shows it if they are at its end.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from clickseg.core.text import format_count, join_names

_HEADER_BYTES = 132
"""The preamble and the prefix ``DICM`` of a DICOM file (PS3.10, 7.1)."""

_NUMBER = re.compile("([0-9]+)")
_HEXADECIMAL = re.compile("((?<![0-9a-f])(?=[a-f]*[0-9])[0-9a-f]{4,}(?![0-9a-f]))")
"""Hexadecimal numbers and parts of UUIDs, by which some archives name their files."""

BROKEN_LINK = "link without a target"
ZEROS = "zeros"

FileStates = dict[str, str]
"""By the name of a file, why it has no DICOM content."""

_Parts = tuple[str, ...]
"""Parts of a name: its numbers, or the texts between them."""


def find_files_without_content(folder: Path, slices: Sequence[str], other_files: Sequence[str]) -> FileStates:
    """Returns the files without DICOM content that are named like the slices of a series, with their state.

    Args:
        folder: The scanned folder, to which all names are relative.
        slices: The names of the slices.
        other_files: The names of files that are not DICOM, are empty, or are links.
    """
    if not other_files:
        return {}
    patterns = _name_patterns([name.rpartition("/")[2] for name in slices])
    parents = {name.rpartition("/")[0] for name in slices}
    named_like_slices = [
        name
        for name in other_files
        if name.rpartition("/")[0] in parents
        and any(pattern.fullmatch(name.rpartition("/")[2]) for pattern in patterns)
    ]
    return {name: state_without_content(folder / name) or "not DICOM" for name in named_like_slices}


def format_files(states: FileStates) -> str:
    """Returns the number and the names of files, with their state, for messages and reports."""
    names = join_names([f"{name} ({state})" for name, state in states.items()])
    return f"{format_count(len(states), 'file')} without DICOM content: {names}"


def _name_patterns(names: Sequence[str]) -> list[re.Pattern[str]]:
    """Returns patterns that the names fit: a number that is equal in all names is fixed, any other may have any value.

    Names that differ in more than decimal numbers are compared by hexadecimal numbers. Those that differ in more have
    no pattern.
    """
    decimal, remaining = _group_alike(names, _NUMBER)
    hexadecimal, _ = _group_alike(remaining, _HEXADECIMAL)
    return [
        *(_make_pattern(texts, numbers, "[0-9]+") for texts, numbers in decimal.items()),
        *(_make_pattern(texts, numbers, "[0-9a-f]+") for texts, numbers in hexadecimal.items()),
    ]


def _group_alike(names: Sequence[str], number: re.Pattern[str]) -> tuple[dict[_Parts, set[_Parts]], list[str]]:
    """Groups names that differ only in numbers.

    Returns:
        The different numbers in the names, by the texts between them, and the names that are like no other name.
    """
    groups: dict[_Parts, dict[_Parts, str]] = defaultdict(dict)
    for name in names:
        parts = number.split(name.lower())
        groups[tuple(parts[::2])][tuple(parts[1::2])] = name
    alike = {texts: set(numbers) for texts, numbers in groups.items() if len(numbers) > 1}
    return alike, [name for texts, numbers in groups.items() if texts not in alike for name in numbers.values()]


def _make_pattern(texts: _Parts, numbers: set[_Parts], any_number: str) -> re.Pattern[str]:
    number_patterns = [values[0] if len({*values}) == 1 else any_number for values in zip(*numbers, strict=True)]
    pairs = zip(map(re.escape, texts), [*number_patterns, ""], strict=True)
    return re.compile("".join(text + number for text, number in pairs), re.IGNORECASE)


def state_without_content(path: Path) -> str:
    """Returns why a file has no content; empty if it has content."""
    if path.is_symlink() and not path.exists():
        return BROKEN_LINK
    try:
        head = _read_head(path) if path.is_file() else None
    except OSError:
        head = None
    if head is None:
        return ""
    if not head:
        return "empty"
    if len(head) < _HEADER_BYTES:
        return "shorter than a DICOM header"
    return "" if any(head) else ZEROS


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)
