"""What all doors share at the edge: logs, the progress bar, and how an error ends a run."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from clickseg.errors import ClickSegError, UsageError
from clickseg.progress import Progress, no_progress

FAILURE = "metadata.json"


def set_up(level: str) -> None:
    """Sends ClickSeg's own logs to standard error, and silences the libraries: what they say may hold patient data.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    own = logging.getLogger("clickseg")
    own.handlers, own.propagate = [handler], False
    own.setLevel(level)
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


def fail(errors: Sequence[ClickSegError], output: Path | None, environ: Mapping[str, str]) -> int:
    """Prints errors as ``error: …`` and ``hint: …`` on standard error.

    Args:
        errors: At least one.
        output: The output folder, where there is one.
        environ: With ``CLICKSEG_METADATA=1`` the first error is also left in the output folder, for Argo workflows.

    Returns:
        The exit code: 2 for wrong use, else 1.
    """
    for error in errors:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
    if output is not None and environ.get("CLICKSEG_METADATA") == "1":
        _leave_note(errors[0], output)
    return 2 if isinstance(errors[0], UsageError) else 1


def progress_bar() -> Progress:
    """Returns a progress bar over windows, on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        return no_progress
    bars: list[tqdm[None]] = []

    def show(done: int, count: int) -> None:
        if done == 1:
            bars[:] = [tqdm(total=count, unit="window", leave=False)]
        bars[0].update()
        if done == count:
            bars[0].close()

    return show


def _leave_note(error: ClickSegError, output: Path) -> None:
    note = {"exception": type(error).__name__, "exception_message": str(error)}
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / FAILURE).write_text(json.dumps(note, indent=2) + "\n")
    except OSError as cause:
        sys.stderr.write(f"error: {FAILURE} cannot be written: {cause.strerror}\n")
