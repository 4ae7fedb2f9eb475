"""Words for messages."""

from __future__ import annotations

from collections.abc import Collection


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: ``1 slice``, ``2 slices``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_names(names: Collection[str], most: int = 4) -> str:
    """Returns the first names, separated by commas; ``...`` stands for the others."""
    return ", ".join([*list(names)[:most], *["..."] * (len(names) > most)])


def first_line(error: BaseException) -> str:
    """Returns the first line of what a library says of an error, for a message of one line."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def printable(text: str) -> str:
    """Returns a line with what is not printable escaped: what files and attributes hold may command a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
