"""``clickseg demo``: creates a phantom study with clicks, and segments it."""

from __future__ import annotations

import argparse
import os

from clickseg.batch.run import run as run_batch
from clickseg.batch.settings import read_settings
from clickseg.cli.terminal import finish_run, print_lines, progress_bar
from clickseg.core.errors import OutputError
from clickseg.datasets.phantom import write_study


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    study = arguments.output / "study"
    settings = read_settings(study, arguments.output / "result", arguments.models, {}, os.environ)
    try:
        write_study(study)
    except OSError as error:
        raise OutputError(f"{study}: cannot be written to: {error.strerror}") from error
    print_lines([f"study    {study}"])
    if arguments.study_only:
        return 0
    return finish_run(run_batch(settings, progress_bar()), settings.output, os.environ)
