"""``clickseg models import``: translates a model of another tool into a model package."""

from __future__ import annotations

import argparse
import os

from clickseg.cli.run_options import run_options
from clickseg.cli.terminal import print_lines
from clickseg.core.errors import UsageError
from clickseg.models.importers.options import read_import_options


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code.

    Raises:
        UsageError: The options cannot be combined, or have invalid values.
        ClickSegError: The model cannot be translated, or the package cannot be written.
    """
    if arguments.models is not None:
        raise UsageError("-m is an option of clickseg models list, not of clickseg models import")
    from clickseg.inference.engines.import_package import import_model

    options = read_import_options(run_options(arguments), os.environ)
    print_lines(import_model(arguments.source, arguments.package, options))
    return 0
