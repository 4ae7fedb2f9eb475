"""``clickseg segment``: segments every series that the model is for; one of them where a session is opened."""

from __future__ import annotations

import argparse
import os

from clickseg.batch.settings import RunSettings, read_settings
from clickseg.batch.writer import RunSummary
from clickseg.cli.parser import options_of
from clickseg.cli.terminal import begin, conclude, progress_bar


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    settings = read_settings(arguments.input, arguments.output, arguments.models, options_of(arguments), os.environ)
    begin(settings.output, os.environ)
    return conclude(_summary(settings, arguments), settings.output, os.environ)


def _summary(settings: RunSettings, arguments: argparse.Namespace) -> RunSummary:
    if arguments.session is None:
        from clickseg.batch.run import run as run_batch

        return run_batch(settings, progress_bar())
    from clickseg.batch.session_run import open_session
    from clickseg.cli.session import summary_of

    return summary_of(open_session(settings, arguments.session, progress_bar()))
