"""Running the application as a process: what has to be set before Holoscan is imported, and how a run ends."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clickseg.cli.terminal import conclude, fail, open_streams
from clickseg.core.clock import read_clock
from clickseg.core.errors import ClickSegError, Interrupted, OutputError, unexpected
from clickseg.core.garbage_collector import tune_collector
from clickseg.core.interruption import call_when_terminated
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

if TYPE_CHECKING:
    from app.application import ClickSegApplication

logger = logging.getLogger("clickseg.app")


class Process:
    """The process of an application, and what is known of it when it ends."""

    def __init__(self) -> None:
        self._application: ClickSegApplication | None = None

    def run(self, argv: Sequence[str]) -> int:
        """Runs the application, and returns the exit code."""
        quieten()
        load_cuda_runtime()
        try:
            read_clock(os.environ)  # libraries read it too, and do not say what is wrong with it
            from app.application import ClickSegApplication

            self._application = application = ClickSegApplication([sys.executable, *argv])
            application.run()
        except ClickSegError as error:
            return self.fail(error)
        except SystemExit as stop:  # the SDK parses the arguments while it composes
            return stop.code if isinstance(stop.code, int) else 2
        except Exception as error:
            logger.debug("an operator failed", exc_info=error)
            return self.fail(unexpected(error))
        summary = application.summary
        if summary is None or not (summary.is_published or summary.errors):
            return self.fail(OutputError("the application ended before its results were published"))
        return conclude(summary, application.output, os.environ)

    def interrupt(self) -> int:
        """Cleans up after a run that is ended from outside, and returns the exit code."""
        application = self._application
        if application is not None and application.writer is not None:
            application.writer.__exit__(None, None, None)
            summary = application.writer.summary
            if summary.is_published:  # too late: the results are there, and whole
                return conclude(summary, application.output, os.environ)
        return self.fail(Interrupted("interrupted"))

    def fail(self, error: ClickSegError) -> int:
        """Says why the run failed, and returns the exit code."""
        return fail([error], self._application and self._application.output, os.environ)


def main(argv: Sequence[str]) -> int:
    """Runs the application.

    Args:
        argv: The program's name and its arguments, as the MONAI Deploy App SDK takes them.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong use.
    """
    open_streams()
    tune_collector()
    process = Process()
    call_when_terminated(process.interrupt)
    return process.run(argv)


def quieten() -> None:
    """Silences Holoscan and GXF unless ``HOLOSCAN_LOG_LEVEL`` says otherwise."""
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "OFF")
    warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)
