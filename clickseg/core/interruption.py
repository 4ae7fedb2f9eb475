"""Interruption of a run by a signal (Ctrl-C, ``docker stop``, a workflow engine): one error line, no files remain."""

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
"""The signals that end a run, as far as the system has them. Closing a terminal sends SIGHUP, on Windows SIGBREAK."""


def install_signal_handlers() -> None:
    """Makes every signal that ends a run raise ``KeyboardInterrupt`` in the main thread, while it executes Python."""
    if threading.current_thread() is threading.main_thread():
        handler = _Handler()
        for number in _SIGNALS:
            signal.signal(number, handler)
        sys.unraisablehook = _report_unraisable


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Reports an exception that Python cannot raise: one in a callback from C, or of a weak reference during an import.

    An interruption is not reported, since ``raise_pending_interruption`` raises it later.
    """
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)


class _Handler:
    """A signal handler that raises ``KeyboardInterrupt`` and remembers the signal: libraries may lose the exception."""

    def __init__(self) -> None:
        self.was_called = self.is_deferred = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.was_called = True
        if not self.is_deferred:
            raise KeyboardInterrupt


def raise_pending_interruption() -> None:
    """Raises ``KeyboardInterrupt`` if a signal has been received.

    To be called where a run passes often: a library may have swallowed the first exception.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(handler, _Handler) and handler.was_called:
        raise KeyboardInterrupt


@contextmanager
def replace_error_by_interruption() -> Iterator[None]:
    """Replaces an error by ``KeyboardInterrupt`` if a signal was received, which may have caused the error."""
    try:
        yield
    except Exception:
        raise_pending_interruption()
        raise


@contextmanager
def defer_interruption() -> Iterator[None]:
    """Defers the ``KeyboardInterrupt`` of a signal to the end of the block.

    For libraries that call Python from C: an exception raised there is printed with its traceback, and lost. Only the
    main thread receives signals, so other threads need no deferral.
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
    raise_pending_interruption()


def clean_up_on_signal(cleanup: Callable[[], int]) -> None:
    """Calls a function when a signal ends the run, then ends the process.

    For a process whose main thread runs a library that handles the signals itself. The signals are blocked in this
    thread and in the threads that it starts, and a separate thread waits for them. Therefore it must be called before
    any library starts threads. POSIX only, as Holoscan is.

    Args:
        cleanup: Cleans up, and returns the exit code of the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_wait_for_signal, args=(cleanup,), daemon=True).start()


def _wait_for_signal(cleanup: Callable[[], int]) -> None:
    signal.sigwait(_SIGNALS)
    exit_immediately(cleanup())


def exit_immediately(code: int) -> NoReturn:
    """Ends the process without waiting for its threads: a thread that was interrupted during its start never ends.

    (``ThreadPoolExecutor`` registers a thread after starting it, and Python stops only registered threads at exit.)
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
