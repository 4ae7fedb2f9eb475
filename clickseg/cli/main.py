"""The ``clickseg`` command: data on standard output, logs on standard error; exit 0 done, 1 failed, 2 wrong use.

Each command is a module with a function ``run``, imported when it is asked for: none waits for another one's libraries.
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
from clickseg.core.errors import ClickSegError, Interrupted, unexpected
from clickseg.core.garbage_collector import tune_collector
from clickseg.core.interruption import end, interruptible, raise_when_terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: The arguments, without the program's name; those of the process by default.

    Returns:
        The exit code. Interrupted it does not return: it ends the process.
    """
    open_streams()
    arguments = parsed(sys.argv[1:] if argv is None else argv)
    output: Path | None = getattr(arguments, "output", None)
    set_up("DEBUG" if arguments.debug else "WARNING" if arguments.quiet else "INFO")
    raise_when_terminated()
    tune_collector()
    try:
        read_clock(os.environ)  # libraries read it too, and do not say what is wrong with it
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
