"""Ending a run from outside (Ctrl-C, ``docker stop``, a workflow engine): one error line, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS: tuple[signal.Signals, ...] = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Those of the system at hand: a terminal that is closed sends SIGHUP, on Windows SIGBREAK."""


def raise_when_terminated() -> None:
    """Makes every ending signal a ``KeyboardInterrupt``; only in the main thread, and only where Python is asked."""
    if threading.current_thread() is threading.main_thread():
        handler = _Handler()
        for each in _SIGNALS:
            signal.signal(each, handler)
        sys.unraisablehook = _report_unraisable


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Reports what was raised where nothing can be: in a callback from C, or of a weak reference during an import.

    An interruption is not reported: ``raise_again`` raises it where the run can be ended.
    """
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)


class _Handler:
    """Raises, and remembers it: what is raised anywhere can get lost anywhere."""

    def __init__(self) -> None:
        self.was_called = self.is_deferred = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.was_called = True
        if not self.is_deferred:
            raise KeyboardInterrupt


def raise_again() -> None:
    """Raises the ``KeyboardInterrupt`` of a signal that has come, if one has.

    For places that a run comes by often: a library may have swallowed the first one.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(handler, _Handler) and handler.was_called:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises the ``KeyboardInterrupt`` of a signal that has come, where a library made an error of its own of it."""
    try:
        yield
    except Exception:
        raise_again()
        raise


@contextmanager
def deferred_interruption() -> Iterator[None]:
    """Raises the ``KeyboardInterrupt`` of a signal at the end of the block.

    For libraries that call Python from C: what is raised there is printed with its traceback, and lost. Other threads
    than the main one get no signals, and need no deferral.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if not isinstance(handler, _Handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler.is_deferred = True
    try:
        yield
    finally:
        handler.is_deferred = False
    raise_again()


def call_when_terminated(function: Callable[[], int]) -> None:
    """Ends the process with what a function returns when an ending signal comes.

    For a process whose main thread is in a library that takes the signals for itself: they are blocked, in this thread
    and those that it starts, and a thread of their own waits for them. So it comes before any library starts threads.
    POSIX only, as Holoscan is.

    Args:
        function: Cleans up, and returns the exit code.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_wait, args=(function,), daemon=True).start()


def _wait(function: Callable[[], int]) -> None:
    signal.sigwait(_SIGNALS)
    end(function())


def end(code: int) -> NoReturn:
    """Ends the process without waiting for its threads: one that was interrupted in its start would never end.

    (``ThreadPoolExecutor`` notes a thread after its start, and at its end Python stops only those that are noted.)
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
