"""Progress of a long step."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""A function that is called with the number of finished units, such as windows, and the number of all units."""


def no_progress(done: int, count: int) -> None:
    """Ignores the progress."""
