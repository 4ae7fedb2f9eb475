"""Python's cyclic garbage collector, for a process that is a run: its entry point tunes it, and nothing else does."""

from __future__ import annotations

import atexit
import gc

_THRESHOLDS = (100_000, 20, 10)
"""Young objects are looked at each time that there are 100,000 more of them; all objects after 20 million more.

By default it is 700 and 70,000: reading a series makes hundreds of thousands of small objects that stay, and with the
libraries of a run in memory each look at all objects takes up to half a second, to find nothing.
"""


def tune_collector() -> None:
    """Makes the collector look at all objects of the process seldom, and not once more when the process ends.

    Memory goes back to the system with the process. What has to be done before has been done: files are closed by who
    opened them.
    """
    gc.set_threshold(*_THRESHOLDS)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
