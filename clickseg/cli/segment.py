"""``clickseg segment``: segments all series that fit the model, or one series if a session is opened."""

from __future__ import annotations

import argparse
import os

from clickseg.batch.settings import RunSettings, read_settings
from clickseg.batch.writer import RunSummary
from clickseg.cli.run_options import run_options
from clickseg.cli.terminal import begin_run, finish_run, progress_bar


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    settings = read_settings(arguments.input, arguments.output, arguments.models, run_options(arguments), os.environ)
    begin_run(settings.output, os.environ)
    return finish_run(_segment(settings, arguments), settings.output, os.environ)


def _segment(settings: RunSettings, arguments: argparse.Namespace) -> RunSummary:
    """Runs the segmentation, and returns its summary."""
    if arguments.session is None:
        from clickseg.batch.run import run as run_batch

        return run_batch(settings, progress_bar())
    from clickseg.batch.session_run import open_session
    from clickseg.cli.refine import summarize_session_run

    return summarize_session_run(open_session(settings, arguments.session, progress_bar()))
