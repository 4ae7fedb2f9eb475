"""Transforms that a bundle defines itself, and whose programs are known: they are translated, and not executed.

A program is known if its text is, apart from empty lines and spaces at the ends of lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.text import first_line
from clickseg.models.importers.monai_bundle.files import path_inside
from clickseg.models.importers.source_model import ImportNote, Outcome

CHANNEL_MERGE = "_FirstChannelWinsd"
"""The transform that stands for a program: of the channels after channel 0, the first that is set counts."""

_MAX_BYTES = 64 << 10
_MAX_DEPTH = 32
_CONCATENATION, _FIRST_WINS = "concatenation", "first channel wins"
_CECT = {"ConcatImages": _CONCATENATION, "MergeClassesd": _FIRST_WINS}
_PROGRAMS: Mapping[str, Mapping[str, str]] = {
    # renalStructures_CECT_segmentation of the MONAI Model Zoo: all versions
    "b6b533474d59fd0e3251a989f67e636d58e6403c0ec9643d6b22b02bce78a825": _CECT,
    "93ecf25d2474d195b6a597aebeb1e6a680f88924b01410684669489f6c0f75c0": _CECT,
    # the same in other words, as the benchmark writes it
    "2dcdb645c2c11d1e9ca09f6d12e5f3d92c054f00ccd43817594c9009f85bc9e1": {
        "Join": _CONCATENATION,
        "FirstWins": _FIRST_WINS,
    },
}
"""What the classes of a program do, by the SHA-256 of its text."""


def replace_known_programs(value: Any, folder: Path) -> tuple[Any, tuple[ImportNote, ...]]:
    """Returns a configuration with transforms of MONAI in place of those of known programs, and a note for each.

    Args:
        value: The configuration; it is not changed.
        folder: The bundle.

    Raises:
        ModelError: A program cannot be read.
    """
    notes: list[ImportNote] = []
    return _replaced(value, folder, "", notes), tuple(notes)


def program_digest(text: str) -> str:
    """Returns the SHA-256 of a program, without empty lines and spaces at the ends of lines."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _replaced(value: Any, folder: Path, key: str, notes: list[ImportNote]) -> Any:
    if key.count("#") > _MAX_DEPTH:
        return value
    if isinstance(value, list):
        return [_replaced(item, folder, f"{key}#{index}", notes) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    meaning = _meaning(value.get("_target_"), folder)
    component = {_CONCATENATION: _concatenation, _FIRST_WINS: _channel_merge}[meaning](value) if meaning else None
    if component is None:
        return {name: _replaced(item, folder, f"{key}#{name}" if key else name, notes) for name, item in value.items()}
    text = f"{value['_target_']}: {meaning}: its program is known, and is not executed"
    notes.append(ImportNote(key, Outcome.TRANSLATED, text))
    return component


def _meaning(target: Any, folder: Path) -> str | None:
    """Returns what a class of a program in the bundle does; None if it is not known."""
    if not isinstance(target, str) or not target.isascii() or not target.startswith("scripts."):
        return None
    module, _, name = target.rpartition(".")
    path = path_inside(folder, module.replace(".", "/") + ".py", target)
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as error:
        raise ModelError(f"{target}: cannot be read: {first_line(error)}") from error
    return _PROGRAMS.get(program_digest(content.decode("utf-8", "replace")), {}).get(name)


def _concatenation(value: Mapping[str, Any]) -> dict[str, Any] | None:
    if not set(value) <= {"_target_", "keys_merge", "keys_out", "allow_missing_keys"}:
        return None
    return {"_target_": "ConcatItemsd", "keys": value.get("keys_merge"), "name": value.get("keys_out")}


def _channel_merge(value: Mapping[str, Any]) -> dict[str, Any] | None:
    if not set(value) <= {"_target_", "keys", "allow_missing_keys"}:
        return None
    return {**value, "_target_": CHANNEL_MERGE}
