"""What all doors share at the edge: logs, the progress bar, and how an error ends a run."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path

from clickseg.errors import ClickSegError, UsageError
from clickseg.progress import Progress, no_progress
from clickseg.staging import replace_whole
from clickseg.wording import printable

FAILURE = "metadata.json"
_STDERR = 2


def open_streams() -> None:
    """Opens the standard streams that a process was started without, as daemons are: no file gets their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def set_up(level: str) -> None:
    """Sends ClickSeg's own logs to standard error, and silences the libraries: what they say may hold patient data.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what a terminal cannot show
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    own = logging.getLogger("clickseg")
    own.handlers, own.propagate = [handler], False
    own.setLevel(level)
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


class _Printable(logging.Formatter):
    """Escapes what a file name or an attribute must not do to a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


def conclude(
    summary: Sequence[str], errors: Sequence[ClickSegError], output: Path | None, environ: Mapping[str, str]
) -> int:
    """Ends a run: prints what was found on standard output, and what failed on standard error.

    Args:
        summary: Lines.
        errors: The errors of the series that failed.
        output: The output folder, where there is one.
        environ: As for ``fail``; a note that an earlier run left there is removed by one that succeeds.

    Returns:
        The exit code.
    """
    tell(summary)
    if errors:
        return fail(errors, output, environ)
    if output is not None and environ.get("CLICKSEG_METADATA") == "1":
        _remove_note(output)
    return 0


def tell(lines: Iterable[str]) -> None:
    """Prints lines on standard output; it is no error where nobody listens any more, as with ``| head``."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    tell_bytes("".join(f"{printable(line)}\n" for line in lines).encode(encoding, "backslashreplace"))


def tell_bytes(content: bytes) -> None:
    """Writes content to standard output as it is."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except OSError:  # and none at the end of the process, when Python flushes again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        sys.stderr.write(f"error: {printable(' '.join(str(error).split()))}\n")
        if error.hint:
            sys.stderr.write(f"hint: {printable(error.hint)}\n")
    if output is not None and environ.get("CLICKSEG_METADATA") == "1":
        _leave_note(errors[0], output)
    return 2 if isinstance(errors[0], UsageError) else 1


def progress_bar() -> Progress:
    """Returns a progress bar over windows, on a terminal; elsewhere nothing.

    ``CLICKSEG_PROGRESS=1`` says that a terminal is at the other end of a pipe, as it is for ``clickseg run``.
    """
    if not sys.stderr.isatty() and os.environ.get("CLICKSEG_PROGRESS") != "1":
        return no_progress
    from tqdm import tqdm

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
        replace_whole(output / FAILURE, (json.dumps(note, indent=2) + "\n").encode())
    except OSError as cause:
        sys.stderr.write(f"error: {FAILURE} cannot be written: {cause.strerror}\n")


def _remove_note(output: Path) -> None:
    """Removes what an earlier run left; a file of that name that holds something else is not ours."""
    path = output / FAILURE
    try:
        if set(json.loads(path.read_bytes())) == {"exception", "exception_message"}:
            path.unlink()
    except (OSError, TypeError, ValueError):
        return
