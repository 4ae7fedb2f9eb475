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

from clickseg.cli.parser import parsed
from clickseg.cli.terminal import fail, open_streams, set_up
from clickseg.core.clock import read_clock
from clickseg.core.errors import ClickSegError, Interrupted, UsageError, unexpected
from clickseg.core.garbage_collector import tune_collector
from clickseg.core.interruption import end, interruptible, raise_when_terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The arguments, without the program's name; None for the arguments of the process.

    Returns:
        The exit code. An interruption ends the process instead of returning.
    """
    open_streams()
    try:
        arguments = parsed(sys.argv[1:] if argv is None else argv)
    except UsageError as error:
        return fail([error], None, os.environ)
    output: Path | None = getattr(arguments, "output", None)
    set_up("DEBUG" if arguments.debug else "WARNING" if arguments.quiet else "INFO")
    raise_when_terminated()
    tune_collector()
    try:
        read_clock(os.environ)  # checked here, since libraries read SOURCE_DATE_EPOCH too, with less clear errors
        with interruptible():
            code: int = importlib.import_module(f"clickseg.cli.{arguments.module}").run(arguments)
            return code
    except ClickSegError as error:
        if arguments.debug:
            raise
        return fail([error], output, os.environ)
    except KeyboardInterrupt:
        end(fail([Interrupted("interrupted")], output, os.environ))
    except Exception as error:
        if arguments.debug:
            raise
        return fail([unexpected(error)], output, os.environ)
