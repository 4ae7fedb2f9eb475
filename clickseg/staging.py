"""Writing a set of files so that they appear together or not at all.

Files are written to a hidden folder inside the output folder (the same file system), then renamed one by one, the
marker last: its presence says that the set is whole. What a run that was killed has left is removed by the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from clickseg.errors import OutputError

_PREFIX = ".clickseg-"
_LOCK, _JOURNAL = ".lock", ".journal"


class Staging:
    """A hidden folder that is published as a whole, or removed.

    Used as a context manager: leaving it without ``publish`` leaves nothing behind.
    """

    def __init__(self, output: Path, marker: str) -> None:
        self._output = output
        self._marker = marker
        self._made_output = False
        self._folder: Path | None = None
        self._lock: int | None = None

    @property
    def folder(self) -> Path:
        """Where files are written until they are published."""
        if self._folder is None:
            raise OutputError("the staging folder is not open")
        return self._folder

    def __enter__(self) -> Self:
        try:
            self._made_output = not self._output.exists()
            self._output.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._output, self._marker)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._output))
            self._lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise OutputError(f"{self._output}: cannot be written to: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._made_output and not any(self._output.iterdir()):
            self._output.rmdir()

    def publish(self) -> None:
        """Moves the files to the output folder, the marker last."""
        names = sorted(path.name for path in self.folder.iterdir() if path.name not in (_LOCK, self._marker))
        new = [name for name in names if not (self._output / name).exists()]
        try:
            (self.folder / _JOURNAL).write_text(json.dumps(new))
            for name in [*names, self._marker]:
                (self.folder / name).replace(self._output / name)
        except OSError as error:
            _undo(self.folder, self._output)
            raise OutputError(f"{self._output}: cannot be written to: {error.strerror}") from error


def remove_leftovers(output: Path, marker: str) -> None:
    """Removes what runs have left in a folder that were killed; a running one holds a lock and is let alone."""
    for folder in output.glob(f"{_PREFIX}*"):
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
        if (folder / marker).exists():
            _undo(folder, output)
        shutil.rmtree(folder, ignore_errors=True)


def _undo(folder: Path, output: Path) -> None:
    """Takes back the files that were published before the marker could be."""
    journal = folder / _JOURNAL
    if not journal.exists():
        return
    for name in json.loads(journal.read_text()):
        if not (folder / name).exists():
            (output / name).unlink(missing_ok=True)
