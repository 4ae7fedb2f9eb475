"""What was done in a session, and which clicks that leaves: values, from which the session can be replayed."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum

from typing_extensions import Self

from clickseg.clicks.click import Click, Points
from clickseg.core.errors import ClickError, SessionError

_LONGEST_USER = 200


class Action(str, Enum):
    """What a user can do."""

    ADD = "add"
    REMOVE = "remove"
    UNDO = "undo"
    REDO = "redo"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a user did.

    Attributes:
        action: What.
        user: Who, as the caller names them.
        time: When, as ISO 8601.
        click: The click that was added; else None.
        number: The click that was removed, counted from 1; else None.
    """

    action: Action
    user: str
    time: str
    click: Click | None = None
    number: int | None = None

    @classmethod
    def now(cls, action: Action, user: str, *, click: Click | None = None, number: int | None = None) -> Self:
        """Returns a step that a user makes at this moment.

        Raises:
            SessionError: The user's name could not be read back from the record.
        """
        if not (isinstance(user, str) and user.isprintable() and len(user) <= _LONGEST_USER):
            raise SessionError(
                f"user: expected a name of at most {_LONGEST_USER} characters that can be printed, got {user!a:.80}"
            )
        return cls(action, user, datetime.now(timezone.utc).isoformat(timespec="milliseconds"), click, number)


@dataclass(frozen=True, slots=True)
class History:
    """All that was done, and where that leads.

    Attributes:
        steps: What was done.
        clicks: The clicks that there are now, in the order in which they were made.
        past: The clicks that there were, the last ones last: what is undone comes back from here.
        future: The clicks that were undone, the next to be redone last.
    """

    steps: tuple[Step, ...] = ()
    clicks: Points = ()
    past: tuple[Points, ...] = ()
    future: tuple[Points, ...] = ()

    def after(self, *steps: Step) -> History:
        """Returns the history with more steps.

        Raises:
            ClickError: There is nothing to undo, redo or remove.
        """
        return functools.reduce(History._with, steps, self)

    def _with(self, step: Step) -> History:
        return replace(self._changed(step), steps=(*self.steps, step))

    def _changed(self, step: Step) -> History:
        if step.action is Action.UNDO:
            _check(bool(self.past), "undo: there is nothing to undo")
            return replace(self, clicks=self.past[-1], past=self.past[:-1], future=(*self.future, self.clicks))
        if step.action is Action.REDO:
            _check(bool(self.future), "redo: there is nothing to redo")
            return replace(self, clicks=self.future[-1], past=(*self.past, self.clicks), future=self.future[:-1])
        return replace(self, clicks=self._edited(step), past=(*self.past, self.clicks), future=())

    def _edited(self, step: Step) -> Points:
        if step.click is not None:
            return (*self.clicks, step.click)
        if step.number is None:
            return ()
        count = len(self.clicks)
        is_there = isinstance(step.number, int) and 1 <= step.number <= count
        _check(is_there, f"remove: expected a click from 1 to {count}, got {step.number!a:.80}")
        return (*self.clicks[: step.number - 1], *self.clicks[step.number :])


def _check(is_possible: bool, message: str) -> None:
    if not is_possible:
        raise ClickError(message)
