"""Entry point of the ``clickseg`` command.

Results go to standard output, logs to standard error. Exit codes: 0 success, 1 failure or interruption, 2 usage
error. The module of a command has a function ``run``; it is imported only when its command runs, so that no command
waits for the libraries of another one.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from clickseg.cli.parser import parse_arguments
from clickseg.cli.terminal import open_standard_streams, report_errors, set_up_logging
from clickseg.core.clock import read_clock
from clickseg.core.errors import ClickSegError, Interrupted, UsageError, unexpected_error
from clickseg.core.garbage_collector import tune_collector
from clickseg.core.interruption import exit_immediately, install_signal_handlers, replace_error_by_interruption


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The arguments, without the program's name; None for the arguments of the process.

    Returns:
        The exit code. An interruption ends the process instead of returning.
    """
    open_standard_streams()
    try:
        arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    except UsageError as error:
        return report_errors([error], None, os.environ)
    output: Path | None = getattr(arguments, "output", None)
    set_up_logging("DEBUG" if arguments.debug else "WARNING" if arguments.quiet else "INFO")
    install_signal_handlers()
    tune_collector()
    try:
        read_clock(os.environ)  # checked here, since libraries read SOURCE_DATE_EPOCH too, with less clear errors
        with replace_error_by_interruption():
            code: int = importlib.import_module(f"clickseg.cli.{arguments.module}").run(arguments)
            return code
    except ClickSegError as error:
        if arguments.debug:
            raise
        return report_errors([error], output, os.environ)
    except KeyboardInterrupt:
        exit_immediately(report_errors([Interrupted("interrupted")], output, os.environ))
    except Exception as error:
        if arguments.debug:
            raise
        return report_errors([unexpected_error(error)], output, os.environ)
