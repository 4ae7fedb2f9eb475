"""Python's cyclic garbage collector."""

from __future__ import annotations

import atexit
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


def end_quickly() -> None:
    """Keeps the collector from looking at every object of the process when it ends, which takes up to half a second.

    Memory goes back to the system with the process. What has to be done before has been done: files are closed by who
    opened them.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
