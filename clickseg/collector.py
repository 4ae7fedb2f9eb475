"""Python's cyclic garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pauses the collector while many small objects are made that all stay.

    Each time that their number has grown by a quarter it looks at every object of the process, to find nothing: with
    the libraries of a run in memory that takes up to half a second. What is without cycles is freed all the same.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
