"""``clickseg refine``: one step of a session, such as adding a click, from command line arguments."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from clickseg.batch.session_run import MakeStep, SessionRun, SessionStepSummary, refine
from clickseg.batch.settings import read_settings
from clickseg.batch.writer import RunSummary
from clickseg.cli.run_options import run_options
from clickseg.cli.terminal import begin_run, finish_run, progress_bar
from clickseg.clicks.click import Click, Point, Polarity
from clickseg.core.arrays import Box
from clickseg.core.errors import UsageError
from clickseg.core.text import format_count
from clickseg.inference.case import Case
from clickseg.session.session import Change, Session


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    settings = read_settings(arguments.input, arguments.output, arguments.models, run_options(arguments), os.environ)
    begin_run(settings.output, os.environ)
    session_run = refine(settings, arguments.session, parse_step(arguments), progress_bar())
    return finish_run(summarize_session_run(session_run), settings.output, os.environ)


def parse_step(arguments: argparse.Namespace) -> MakeStep:
    """Returns the function that makes the requested step in a session.

    Raises:
        UsageError: The arguments cannot be combined, or the position is invalid.
    """
    if arguments.add is None and (arguments.label or arguments.background):
        raise UsageError(
            "--label and --background require --add", hint="pass the position of the new click with --add X,Y,Z"
        )
    polarity = Polarity.BACKGROUND if arguments.background else Polarity.FOREGROUND
    click = None if arguments.add is None else Click(arguments.label, polarity, _parse_position(arguments.add))

    def make_step(session: Session, _: Case) -> Change | None:
        if click is not None:
            return session.add_click(click, arguments.user)
        if arguments.remove is not None:
            return session.remove_click(arguments.remove, arguments.user)
        steps = {"undo": session.undo, "redo": session.redo, "reset": session.reset}
        requested = [step for name, step in steps.items() if getattr(arguments, name)]
        return requested[0](arguments.user) if requested else None

    return make_step


def _parse_position(text: str) -> Point:
    try:
        x, y, z = (float(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError(f"--add: expected three numbers X,Y,Z (LPS mm), got {text!r}") from error
    return x, y, z


def summarize_session_run(run: SessionRun) -> RunSummary:
    """Returns the summary of a run in a session; if it made a step, the first line describes the change."""
    lines = () if run.step is None else (_step_line(run.step),)
    return replace(run.summary, lines=(*lines, *run.summary.lines))


def _step_line(step: SessionStepSummary) -> str:
    change = step.change
    windows = f"{change.windows_run} of {format_count(step.window_count, 'window')} run in {change.seconds:.1f} s"
    clicks = format_count(step.click_count, "click")
    return f"changed  {_format_box(change.box) if change.box else 'nothing'} ({windows}; {clicks})"


def _format_box(box: Box) -> str:
    """Returns the first and last slice, row and column of a box."""
    names = ("slices", "rows", "columns")
    return ", ".join(f"{name} {indices.start}-{indices.stop - 1}" for name, indices in zip(names, box, strict=True))
