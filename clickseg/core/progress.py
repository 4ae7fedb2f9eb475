"""How a long step says how far it has come."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the number of windows done and of all windows."""


def no_progress(done: int, count: int) -> None:
    """Tells nobody."""
