"""Checks of the arguments of the Python API, so that a wrong argument gives a clear error before any work starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clickseg.core.errors import UsageError


def to_path(value: Any, name: str) -> Path:
    """Returns an argument as a path.

    Args:
        value: The argument.
        name: The name of the argument, for the message.

    Raises:
        UsageError: The argument is not a path, or is an empty string.
    """
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{name}: expected a path, got {type(value).__name__}")
    if not os.fspath(value):
        raise UsageError(f"{name}: expected a path, got an empty string", hint="the current folder is '.'")
    return Path(value)


def check_type(value: Any, expected_type: type, name: str) -> None:
    """Checks the type of an argument.

    Args:
        value: The argument.
        expected_type: The type that is expected.
        name: The name of the argument, for the message.

    Raises:
        UsageError: The argument has another type.
    """
    if not isinstance(value, expected_type):
        raise UsageError(f"{name}: expected {expected_type.__name__}, got {type(value).__name__}")


def to_items(value: Any, item_type: type, name: str) -> tuple[Any, ...]:
    """Returns an argument, which is one object or a sequence of objects, as a tuple.

    Args:
        value: The argument.
        item_type: The type of the objects.
        name: The name of the argument, for the message.

    Raises:
        UsageError: An object has another type.
    """
    if isinstance(value, item_type):
        return (value,)
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise UsageError(f"{name}: expected {item_type.__name__}, or several, got {type(value).__name__}")
    items = tuple(value)
    for item in items:
        check_type(item, item_type, name)
    return items
