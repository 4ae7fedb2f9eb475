"""Words for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: ``1 slice``, ``2 slices``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
