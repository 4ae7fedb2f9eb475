"""``clickseg refine``: what a user does in a session, by command line arguments, and what the user is told of it."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from clickseg.batch.session_run import Edit, SessionRun, SessionStep, refine
from clickseg.batch.settings import read_settings
from clickseg.batch.writer import RunSummary
from clickseg.cli.parser import options_of
from clickseg.cli.terminal import begin, conclude, progress_bar
from clickseg.clicks.click import Click, Point, Polarity
from clickseg.core.arrays import Box
from clickseg.core.errors import UsageError
from clickseg.core.text import counted
from clickseg.inference.case import Case
from clickseg.session.session import Change, Session


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    settings = read_settings(arguments.input, arguments.output, arguments.models, options_of(arguments), os.environ)
    begin(settings.output, os.environ)
    refined = refine(settings, arguments.session, edit_of(arguments), progress_bar())
    return conclude(summary_of(refined), settings.output, os.environ)


def edit_of(arguments: argparse.Namespace) -> Edit:
    """Returns what the arguments ask for.

    Raises:
        UsageError: They do not go together.
    """
    if arguments.add is None and (arguments.label or arguments.background):
        raise UsageError(
            "--label and --background are of a click that is added", hint="name its place with --add X,Y,Z"
        )
    polarity = Polarity.BACKGROUND if arguments.background else Polarity.FOREGROUND
    click = None if arguments.add is None else Click(arguments.label, polarity, _place(arguments.add))

    def edit(session: Session, _: Case) -> Change | None:
        if click is not None:
            return session.add_click(click, arguments.user)
        if arguments.remove is not None:
            return session.remove_click(arguments.remove, arguments.user)
        chosen = [name for name in ("undo", "redo", "reset") if getattr(arguments, name)]
        steps = {"undo": session.undo, "redo": session.redo, "reset": session.reset}
        return steps[chosen[0]](arguments.user) if chosen else None

    return edit


def _place(text: str) -> Point:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--add: expected three numbers X,Y,Z (LPS mm), got {text!r}") from error
    return x, y, z


def summary_of(run: SessionRun) -> RunSummary:
    """Returns what came of a run in a session; its first line says what the step changed, where one was made."""
    lines = () if run.step is None else (_step_line(run.step),)
    return replace(run.summary, lines=(*lines, *run.summary.lines))


def _step_line(step: SessionStep) -> str:
    change = step.change
    ran = f"{change.windows_run} of {counted(step.windows, 'window')} run in {change.seconds:.1f} s"
    return f"changed  {_box(change.box) if change.box else 'nothing'} ({ran}; {counted(step.clicks, 'click')})"


def _box(box: Box) -> str:
    """Returns a box as slices, rows and columns, first to last."""
    names = ("slices", "rows", "columns")
    return ", ".join(f"{name} {part.start}-{part.stop - 1}" for name, part in zip(names, box, strict=True))
