"""Runs all windows in a background thread, which pauses for each step of a user."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from clickseg.core.errors import SessionError
from clickseg.core.progress import Progress

_POLL_INTERVAL_S = 0.02
"""How often the thread checks whether a step is waiting: an interrupted step cannot be relied on to notify it."""

T = TypeVar("T")


class _PausedError(Exception):
    """A step is waiting, or the session is closed: the run stops after its current window."""


class BackgroundRun:
    """Runs all windows in a thread of its own. Steps take precedence, one at a time."""

    def __init__(self, run_all: Callable[[Progress], None], progress: Progress) -> None:
        """Starts the thread.

        Args:
            run_all: Runs all windows that were not run yet. ``progress`` may interrupt it with an error; then it is
                called again.
            progress: Called after each window.
        """
        self._run_all, self._progress = run_all, progress
        self._working = threading.Lock()
        self._waiting: set[object] = set()
        self._is_finished = self._is_closed = False
        self._error: BaseException | None = None
        self._reported: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="background run", daemon=True)
        atexit.register(self.close)  # a library that is running when the process ends would abort it
        self._thread.start()

    @property
    def is_finished(self) -> bool:
        """Whether all windows were run."""
        return self._is_finished

    def run_exclusively(self, step: Callable[[], T]) -> T:
        """Runs a step while the background run is paused, and returns its value.

        If the step is interrupted at any point, it no longer waits and holds no lock: Python handles signals only
        between the calls of Python functions, and the methods of sets and locks are not Python functions.

        Raises:
            SessionError: The session is closed.
        """
        ticket = object()
        try:
            self._waiting.add(ticket)
            with self._working:
                self._check_open()
                return step()
        finally:
            self._waiting.discard(ticket)

    def wait(self) -> None:
        """Waits until all windows were run.

        Raises:
            ClickSegError: The error that stopped the run.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._check_open()

    def close(self) -> None:
        """Stops the run after its current window, and waits until no step is running; further steps are rejected."""
        self._is_closed = True
        self._thread.join()
        with self._working:
            pass

    def _check_open(self) -> None:
        if self._is_closed:
            raise SessionError("the session is closed")

    def _run(self) -> None:
        while not (self._is_finished or self._is_closed or self._error):
            while self._waiting and not self._is_closed:
                time.sleep(_POLL_INTERVAL_S)
            with self._working:
                self._run_until_paused()
        atexit.unregister(self.close)

    def _run_until_paused(self) -> None:
        try:
            self._report_progress(0, 0)
            self._run_all(self._report_progress)
            self._is_finished = True
        except _PausedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised by wait()
            self._error = error

    def _report_progress(self, done: int, count: int) -> None:
        if self._waiting or self._is_closed:
            raise _PausedError
        if done > self._reported.get(count, 0):  # after a pause, windows that were run already are passed again
            self._reported[count] = done
            self._progress(done, count)
