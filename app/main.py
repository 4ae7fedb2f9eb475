"""Runs the application as a process: setup that must precede the import of Holoscan, and the end of a run."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clickseg.cli.terminal import finish_run, open_standard_streams, report_errors
from clickseg.core.clock import read_clock
from clickseg.core.errors import ClickSegError, Interrupted, OutputError, unexpected_error
from clickseg.core.garbage_collector import tune_collector
from clickseg.core.interruption import clean_up_on_signal
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

if TYPE_CHECKING:
    from app.application import ClickSegApplication

logger = logging.getLogger("clickseg.app")


class ApplicationProcess:
    """The process of an application, which reports the outcome however the run ends."""

    def __init__(self) -> None:
        self._application: ClickSegApplication | None = None

    def run(self, argv: Sequence[str]) -> int:
        """Runs the application and returns the exit code."""
        silence_holoscan()
        load_cuda_runtime()
        try:
            read_clock(os.environ)  # libraries read SOURCE_DATE_EPOCH too, without a clear error
            from app.application import ClickSegApplication

            self._application = application = ClickSegApplication([sys.executable, *argv])
            application.run()
        except ClickSegError as error:
            return self.report_error(error)
        except SystemExit as stop:  # the SDK parses the arguments in compose()
            return stop.code if isinstance(stop.code, int) else 2
        except Exception as error:
            logger.debug("an operator failed", exc_info=error)
            return self.report_error(unexpected_error(error))
        summary = application.summary
        if summary is None or not (summary.is_published or summary.errors):
            return self.report_error(OutputError("the application ended before its results were published"))
        return finish_run(summary, application.output, os.environ)

    def clean_up(self) -> int:
        """Cleans up after a run that a signal ends, and returns the exit code."""
        application = self._application
        if application is not None and application.writer is not None:
            application.writer.__exit__(None, None, None)
            summary = application.writer.summary
            if summary.is_published:  # too late: the results are complete
                return finish_run(summary, application.output, os.environ)
        return self.report_error(Interrupted("interrupted"))

    def report_error(self, error: ClickSegError) -> int:
        """Reports the error of a failed run and returns the exit code."""
        return report_errors([error], self._application and self._application.output, os.environ)


def main(argv: Sequence[str]) -> int:
    """Runs the application.

    Args:
        argv: The name of the program and its arguments, as the MONAI Deploy App SDK expects them.

    Returns:
        The exit code: 0 success, 1 failure, 2 wrong usage.
    """
    open_standard_streams()
    tune_collector()
    process = ApplicationProcess()
    clean_up_on_signal(process.clean_up)
    return process.run(argv)


def silence_holoscan() -> None:
    """Silences Holoscan and GXF unless ``HOLOSCAN_LOG_LEVEL`` is set."""
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "OFF")
    warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)
