"""The interface to the terminal that the command line and the application share: output, logs, progress, errors."""

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

from clickseg.batch.metadata import (
    METADATA_FILE,
    Metadata,
    add_error,
    can_replace_metadata,
    is_metadata_enabled,
    write_metadata,
)
from clickseg.core.errors import ClickSegError, Killed, UsageError
from clickseg.core.interruption import raise_pending_interruption
from clickseg.core.progress import Progress
from clickseg.core.text import escape_unprintable

if TYPE_CHECKING:
    from clickseg.batch.writer import RunSummary

_STDERR = 2


def open_standard_streams() -> None:
    """Opens the standard streams that are closed, as in daemons, so that no other file gets their descriptors."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def set_up_logging(level: str) -> None:
    """Sends ClickSeg's logs to standard error, and silences libraries, whose messages may contain patient data.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may not be encodable in the terminal's encoding
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(message)s"))
    logger = logging.getLogger("clickseg")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level)
    for library in ("pydicom", "highdicom", "matplotlib"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


class _PrintableFormatter(logging.Formatter):
    """Escapes control characters, which a file name or a DICOM attribute may contain."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        return escape_unprintable(super().formatMessage(record))


def begin_run(output: Path, environ: Mapping[str, str]) -> None:
    """Begins a run: writes the ``metadata.json`` that a workflow engine finds if the run is killed.

    The end of the run replaces the file.

    Args:
        output: The output folder.
        environ: Environment variables; see ``report_errors``.
    """
    if is_metadata_enabled(environ) and can_replace_metadata(output):
        killed = Killed("the run was killed, for example at a memory or time limit, or is still running")
        with suppress(OSError):  # reported at the end of the run, which writes the file too
            write_metadata(add_error(killed), output)


def finish_run(summary: RunSummary, output: Path | None, environ: Mapping[str, str]) -> int:
    """Finishes a run: prints its results on standard output, and its errors on standard error.

    Args:
        summary: The summary of the run.
        output: The output folder, if any.
        environ: Environment variables; see ``report_errors``.

    Returns:
        The exit code.
    """
    print_lines(summary.lines)
    if summary.errors:
        return report_errors(summary.errors, output, environ, summary.metadata)
    if output is None or not is_metadata_enabled(environ):
        return 0
    if not can_replace_metadata(output):
        logging.getLogger(__name__).warning("%s was not written by ClickSeg, so it is not replaced", METADATA_FILE)
        return 0
    return 0 if _try_to_write_metadata(summary.metadata, output) else 1


def format_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a table as lines, with the headings first; each column is as wide as its widest cell."""
    cells = [columns, *rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def print_lines(lines: Iterable[str]) -> None:
    """Prints lines on standard output. It is not an error if no process reads them, as after ``| head``."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print_bytes("".join(f"{escape_unprintable(line)}\n" for line in lines).encode(encoding, "backslashreplace"))


def print_bytes(content: bytes) -> None:
    """Writes bytes to standard output unchanged."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except OSError:  # at the end of the process Python flushes again, which must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report_errors(
    errors: Sequence[ClickSegError], output: Path | None, environ: Mapping[str, str], metadata: Metadata | None = None
) -> int:
    """Prints errors on standard error, as ``error: …`` and ``hint: …``.

    Args:
        errors: At least one error.
        output: The output folder, if any.
        environ: Environment variables. ``CLICKSEG_METADATA=1`` also writes the first error to ``metadata.json`` in
            the output folder, for workflow engines.
        metadata: The other metadata of the run, if known.

    Returns:
        The exit code: 2 if the first error is a usage error, else 1.
    """
    for error in errors:
        sys.stderr.write(f"error: {escape_unprintable(' '.join(str(error).split()))}\n")
        if error.hint:
            sys.stderr.write(f"hint: {escape_unprintable(error.hint)}\n")
    if output is not None and is_metadata_enabled(environ):
        _try_to_write_metadata(add_error(errors[0], metadata), output)
    return 2 if isinstance(errors[0], UsageError) else 1


def progress_bar(unit: str = "window") -> Progress:
    """Returns a progress bar, which shows nothing if standard error is not a terminal. It also ends interrupted runs.

    ``CLICKSEG_PROGRESS=1`` shows the bar although standard error is a pipe: ``clickseg run`` sets it in the container.

    Args:
        unit: The unit of progress.
    """
    if not sys.stderr.isatty() and os.environ.get("CLICKSEG_PROGRESS") != "1":
        return lambda _done, _count: raise_pending_interruption()
    from tqdm import tqdm

    bars: list[tqdm[None]] = []

    def show(done: int, count: int) -> None:
        if done == 1 or not bars:
            bars[:] = [tqdm(total=count, unit=unit, leave=False)]
        bars[0].update(done - bars[0].n)
        if done == count:
            bars[0].close()
        raise_pending_interruption()

    return show


def _try_to_write_metadata(metadata: Metadata, output: Path) -> bool:
    """Writes ``metadata.json``, and returns whether it was written; if not, prints an error."""
    try:
        write_metadata(metadata, output)
    except OSError as cause:
        sys.stderr.write(f"error: {METADATA_FILE}: cannot be written: {cause.strerror}\n")
        return False
    return True
