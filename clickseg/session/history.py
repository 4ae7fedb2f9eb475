"""The steps of a session and the clicks that result from them, as immutable values that can be replayed."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum

from typing_extensions import Self

from clickseg.clicks.click import Click, ClickSequence
from clickseg.core.errors import ClickError, SessionError

_MAX_USER_CHARACTERS = 200


class Action(str, Enum):
    """The kind of a step."""

    ADD = "add"
    REMOVE = "remove"
    UNDO = "undo"
    REDO = "redo"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a user.

    Attributes:
        action: The kind of step.
        user: The name of the user, as passed by the caller.
        time: The time of the step, as ISO 8601 in UTC.
        click: The click that was added; None for other actions.
        click_number: The number of the click that was removed, counted from 1; None for other actions.
    """

    action: Action
    user: str
    time: str
    click: Click | None = None
    click_number: int | None = None

    @classmethod
    def make(cls, action: Action, user: str, *, click: Click | None = None, click_number: int | None = None) -> Self:
        """Returns a step with the present time.

        Raises:
            SessionError: The user's name is too long or contains unprintable characters.
        """
        if not (isinstance(user, str) and user.isprintable() and len(user) <= _MAX_USER_CHARACTERS):
            raise SessionError(
                f"user: expected a name of at most {_MAX_USER_CHARACTERS} printable characters, got {user!a:.80}"
            )
        return cls(action, user, datetime.now(timezone.utc).isoformat(timespec="milliseconds"), click, click_number)


@dataclass(frozen=True, slots=True)
class History:
    """All steps of a session, and the clicks that result from them.

    Attributes:
        steps: The steps.
        clicks: The current clicks, in the order in which they were added.
        undo_stack: The earlier states of the clicks, the most recent last: undo restores them.
        redo_stack: The states of the clicks that were undone, the next to redo last.
    """

    steps: tuple[Step, ...] = ()
    clicks: ClickSequence = ()
    undo_stack: tuple[ClickSequence, ...] = ()
    redo_stack: tuple[ClickSequence, ...] = ()

    def with_steps(self, *steps: Step) -> History:
        """Returns the history with further steps.

        Raises:
            ClickError: There is no step to undo or redo, or no click with the number to remove.
        """
        return functools.reduce(History._with_step, steps, self)

    def _with_step(self, step: Step) -> History:
        return replace(self._apply(step), steps=(*self.steps, step))

    def _apply(self, step: Step) -> History:
        """Returns the history with the clicks and stacks after a step."""
        if step.action is Action.UNDO:
            _check(bool(self.undo_stack), "undo: the session has no step to undo")
            return replace(
                self,
                clicks=self.undo_stack[-1],
                undo_stack=self.undo_stack[:-1],
                redo_stack=(*self.redo_stack, self.clicks),
            )
        if step.action is Action.REDO:
            _check(bool(self.redo_stack), "redo: no step was undone")
            return replace(
                self,
                clicks=self.redo_stack[-1],
                undo_stack=(*self.undo_stack, self.clicks),
                redo_stack=self.redo_stack[:-1],
            )
        return replace(self, clicks=self._edit_clicks(step), undo_stack=(*self.undo_stack, self.clicks), redo_stack=())

    def _edit_clicks(self, step: Step) -> ClickSequence:
        """Returns the clicks after a click was added or removed, or after a reset."""
        if step.click is not None:
            return (*self.clicks, step.click)
        if step.click_number is None:
            return ()
        number, count = step.click_number, len(self.clicks)
        exists = isinstance(number, int) and 1 <= number <= count
        _check(exists, f"remove: expected a click number from 1 to {count}, got {number!a:.80}")
        return (*self.clicks[: number - 1], *self.clicks[number:])


def _check(is_possible: bool, message: str) -> None:
    if not is_possible:
        raise ClickError(message)
