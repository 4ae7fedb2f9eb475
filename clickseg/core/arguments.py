"""Checks of what callers of the Python API pass: one clear error in place of one from deep inside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clickseg.core.errors import UsageError


def to_path(value: Any, name: str) -> Path:
    """Returns an argument that is a path.

    Args:
        value: The argument.
        name: Its name, for the message.

    Raises:
        UsageError: It is no path, or empty.
    """
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{name}: expected a path, got {type(value).__name__}")
    if not os.fspath(value):
        raise UsageError(f"{name}: expected a path, got an empty string", hint="the current folder is '.'")
    return Path(value)


def check_type(value: Any, kind: type, name: str) -> None:
    """Refuses an argument of another type.

    Args:
        value: The argument.
        kind: The type that is expected.
        name: Its name, for the message.

    Raises:
        UsageError: It is of another type.
    """
    if not isinstance(value, kind):
        raise UsageError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")


def to_items(value: Any, kind: type, name: str) -> tuple[Any, ...]:
    """Returns an argument that is an object, or several in a sequence.

    Args:
        value: The argument.
        kind: The type of the objects.
        name: The name of the argument, for the message.

    Raises:
        UsageError: One is of another type.
    """
    if isinstance(value, kind):
        return (value,)
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise UsageError(f"{name}: expected {kind.__name__}, or several, got {type(value).__name__}")
    items = tuple(value)
    for each in items:
        check_type(each, kind, name)
    return items
