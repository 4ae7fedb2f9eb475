"""The run of all windows in the background, which gives way to each step of a user."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from clickseg.core.errors import SessionError
from clickseg.core.progress import Progress

_LOOKS_AGAIN_S = 0.02
"""After how long the run looks again whether a step waits: one that is interrupted cannot be relied on to say so."""

T = TypeVar("T")


class _GivesWayError(Exception):
    """A step waits, or the session is closed: the run stops after the window that it is at."""


class FirstRun:
    """Runs all windows in a thread of its own; steps go first, one at a time."""

    def __init__(self, run_all: Callable[[Progress], None], progress: Progress) -> None:
        """Starts the thread.

        Args:
            run_all: Runs all windows that were not run; may be interrupted by an error of ``progress``, and run anew.
            progress: Told after each window.
        """
        self._run_all, self._progress = run_all, progress
        self._working = threading.Lock()
        self._waiting: set[object] = set()
        self._is_over = self._is_closed = False
        self._error: BaseException | None = None
        self._told_until: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="first run", daemon=True)
        atexit.register(self.close)  # a library that is at work when the process ends aborts it
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether all windows were run."""
        return self._is_over

    def ahead(self, step: Callable[[], T]) -> T:
        """Returns what a step returns; while it is done nothing else is run.

        Wherever it is interrupted, it waits no more and holds nothing: signals are looked at between the calls of
        Python functions, and these are none.

        Raises:
            SessionError: The session is closed.
        """
        this = object()
        try:
            self._waiting.add(this)
            with self._working:
                self._check_open()
                return step()
        finally:
            self._waiting.discard(this)

    def wait(self) -> None:
        """Returns when all windows were run.

        Raises:
            ClickSegError: What stopped the run.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._check_open()

    def close(self) -> None:
        """Stops the run after the window that it is at; returns when no step is run any more, and none will be."""
        self._is_closed = True
        self._thread.join()
        with self._working:
            pass

    def _check_open(self) -> None:
        if self._is_closed:
            raise SessionError("the session is closed")

    def _run(self) -> None:
        while not (self._is_over or self._is_closed or self._error):
            while self._waiting and not self._is_closed:
                time.sleep(_LOOKS_AGAIN_S)
            with self._working:
                self._try()
        atexit.unregister(self.close)

    def _try(self) -> None:
        try:
            self._told(0, 0)
            self._run_all(self._told)
            self._is_over = True
        except _GivesWayError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error

    def _told(self, done: int, count: int) -> None:
        if self._waiting or self._is_closed:
            raise _GivesWayError
        if done > self._told_until.get(count, 0):  # after giving way it begins anew, over windows that were run
            self._told_until[count] = done
            self._progress(done, count)
