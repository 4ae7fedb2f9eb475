"""Finds the slices of a series that are there by name only, because a transfer or a copy was interrupted.

Such a file has no header, so only its name shows that it is a slice: the name differs from those of the slices in a
number. Without these files the volume is too short, and nothing else shows it if they are at its end.
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


def find_files_without_content(folder: Path, slices: Sequence[str], other_files: Sequence[str]) -> dict[str, str]:
    """Returns the files without content that are named like the slices of a series, with their state.

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
    states = {name: state_without_content(folder / name) for name in named_like_slices}
    return {name: state for name, state in states.items() if state}


def format_files(states: dict[str, str]) -> str:
    """Returns the number and the names of files, with their state, for messages and reports."""
    names = join_names([f"{name} ({state})" for name, state in states.items()])
    return f"{format_count(len(states), 'file')} without content: {names}"


def _name_patterns(names: Sequence[str]) -> list[re.Pattern[str]]:
    """Returns patterns that the names fit: a number that is equal in all names is fixed, any other may have any value.

    Names that differ in more than numbers have different patterns. One name alone has none.
    """
    alike: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for name in names:
        parts = _NUMBER.split(name.lower())
        alike[tuple(parts[::2])].add(tuple(parts[1::2]))
    patterns = []
    for texts, numbers in alike.items():
        if len(numbers) > 1:
            number_patterns = [values[0] if len({*values}) == 1 else "[0-9]+" for values in zip(*numbers, strict=True)]
            text_patterns = [re.escape(text) for text in texts]
            pattern = "".join(text + number for text, number in zip(text_patterns, [*number_patterns, ""], strict=True))
            patterns.append(re.compile(pattern, re.IGNORECASE))
    return patterns


def state_without_content(path: Path) -> str:
    """Returns why a file has no content; empty if it has content."""
    if path.is_symlink() and not path.exists():
        return "link without a target"
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
    return "" if any(head) else "zeros"


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)
