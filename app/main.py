"""Running the application as a process: what has to be set before Holoscan is imported, and how a run ends."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from clickseg.cuda_runtime import load_cuda_runtime
from clickseg.errors import ClickSegError
from clickseg.terminal import fail


def main(argv: Sequence[str]) -> int:
    """Runs the application.

    Args:
        argv: The program's name and its arguments, as the MONAI Deploy App SDK takes them.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong use.
    """
    quieten()
    load_cuda_runtime()
    from app.application import ClickSegApplication

    application = ClickSegApplication([sys.executable, *argv])
    try:
        application.run()
    except ClickSegError as error:
        return fail([error], application.output, os.environ)
    except SystemExit as stop:  # the SDK parses the arguments while it composes
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:  # noqa: BLE001 - an operator that fails in whatever way must not look like a result
        bug = ClickSegError(f"the application failed: {type(error).__name__}: {error}")
        return fail([bug], application.output, os.environ)
    sys.stdout.writelines(f"{line}\n" for line in application.summary)
    return fail(application.errors, application.output, os.environ) if application.errors else 0


def quieten() -> None:
    """Silences Holoscan and GXF unless ``HOLOSCAN_LOG_LEVEL`` says otherwise."""
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "OFF")
    warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)
