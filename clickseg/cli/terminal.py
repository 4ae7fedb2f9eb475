"""What all doors share at the edge: logs, the progress bar, and how an error ends a run."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from clickseg.batch.metadata import METADATA, Metadata, is_wanted, may_replace, with_error, write_metadata
from clickseg.core.errors import ClickSegError, Killed, UsageError
from clickseg.core.interruption import raise_again
from clickseg.core.progress import Progress
from clickseg.core.text import printable

if TYPE_CHECKING:
    from clickseg.batch.writer import RunSummary

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
    for library in ("pydicom", "highdicom", "matplotlib"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


class _Printable(logging.Formatter):
    """Escapes what a file name or an attribute must not do to a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


def begin(output: Path, environ: Mapping[str, str]) -> None:
    """Begins a run: leaves what a workflow engine, where it asks, is told if the run is killed; else it is replaced.

    Args:
        output: The output folder.
        environ: As for ``fail``.
    """
    if is_wanted(environ) and may_replace(output):
        killed = Killed("the run was killed, for example at a limit of memory or time, or it is not done yet")
        with suppress(OSError):  # the end of the run tells of it
            write_metadata(with_error(killed), output)


def conclude(summary: RunSummary, output: Path | None, environ: Mapping[str, str]) -> int:
    """Ends a run: prints what was found on standard output, and what failed on standard error.

    Args:
        summary: What came of the run.
        output: The output folder, where there is one.
        environ: As for ``fail``.

    Returns:
        The exit code.
    """
    tell(summary.lines)
    if summary.errors:
        return fail(summary.errors, output, environ, summary.metadata)
    if output is None or not is_wanted(environ):
        return 0
    if not may_replace(output):
        logging.getLogger(__name__).warning("%s is there already, and not of ClickSeg: it is left as it is", METADATA)
        return 0
    return 0 if _leave(summary.metadata, output) else 1


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows of cells as lines, each column as wide as its widest cell; the first line holds the headings."""
    cells = [columns, *rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


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


def fail(
    errors: Sequence[ClickSegError], output: Path | None, environ: Mapping[str, str], metadata: Metadata | None = None
) -> int:
    """Prints errors as ``error: …`` and ``hint: …`` on standard error.

    Args:
        errors: At least one.
        output: The output folder, where there is one.
        environ: With ``CLICKSEG_METADATA=1`` the first error is also left in the output folder, for workflow engines.
        metadata: What is known of the run besides.

    Returns:
        The exit code: 2 for wrong use, else 1.
    """
    for error in errors:
        sys.stderr.write(f"error: {printable(' '.join(str(error).split()))}\n")
        if error.hint:
            sys.stderr.write(f"hint: {printable(error.hint)}\n")
    if output is not None and is_wanted(environ):
        _leave(with_error(errors[0], metadata), output)
    return 2 if isinstance(errors[0], UsageError) else 1


def progress_bar(unit: str = "window") -> Progress:
    """Returns a progress bar, on a terminal; elsewhere nothing is seen. A run that shall end ends at it.

    ``CLICKSEG_PROGRESS=1`` says that a terminal is at the other end of a pipe, as it is for ``clickseg run``.

    Args:
        unit: What is counted.
    """
    if not sys.stderr.isatty() and os.environ.get("CLICKSEG_PROGRESS") != "1":
        return lambda _done, _count: raise_again()
    from tqdm import tqdm

    bars: list[tqdm[None]] = []

    def show(done: int, count: int) -> None:
        if done == 1 or not bars:
            bars[:] = [tqdm(total=count, unit=unit, leave=False)]
        bars[0].update(done - bars[0].n)
        if done == count:
            bars[0].close()
        raise_again()

    return show


def _leave(metadata: Metadata, output: Path) -> bool:
    """Writes metadata; returns whether it could be written, and says so where not."""
    try:
        write_metadata(metadata, output)
    except OSError as cause:
        sys.stderr.write(f"error: {METADATA} cannot be written: {cause.strerror}\n")
        return False
    return True
