"""Ending a run from outside (Ctrl-C, ``docker stop``, a workflow engine): one error line, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def raise_when_terminated() -> None:
    """Makes every ending signal a ``KeyboardInterrupt``; only in the main thread, and only where Python is asked."""
    if threading.current_thread() is threading.main_thread():
        for each in _SIGNALS:
            signal.signal(each, signal.default_int_handler)


def call_when_terminated(function: Callable[[], int]) -> None:
    """Ends the process with what a function returns when an ending signal comes.

    For a process whose main thread is in a library that takes the signals for itself: they are blocked, in this thread
    and those that it starts, and a thread of their own waits for them. So it comes before any library starts threads.

    Args:
        function: Cleans up, and returns the exit code.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_wait, args=(function,), daemon=True).start()


def _wait(function: Callable[[], int]) -> None:
    signal.sigwait(_SIGNALS)
    code = function()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
