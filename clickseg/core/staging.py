"""Writing a set of files so that they appear together or not at all.

Files are written to a hidden folder inside the output folder (the same file system), then renamed one by one, the
marker last: its presence says that the set is whole. What a run that was killed has left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from clickseg.core.errors import OutputError
from clickseg.core.files import remove_parts, replace_whole

if TYPE_CHECKING:
    from clickseg.core.file_locks import FileLock

_PREFIX = ".clickseg-"
_LOCK, _JOURNAL = ".lock", ".journal"
_WAITING = ".waiting"
"""What is added to the name of a file that nobody may take for a result before it is published."""

_DISCARDED = f"{_PREFIX}discarded-"
"""What a folder is called whose files are being removed."""

_BIRTH_S = 60.0
"""How long a folder may be without its lock: a run makes the two one after the other."""


class Staging:
    """A hidden folder that is published as a whole, or removed.

    Used as a context manager: leaving it without ``publish`` leaves nothing behind.
    """

    def __init__(self, output: Path, marker: str) -> None:
        self._output = output
        self._marker = marker
        self._made: list[Path] = []
        self._folder: Path | None = None
        self._lock: FileLock | None = None
        self._at_work = threading.Lock()  # an interrupted run is cleaned up by another thread

    @property
    def folder(self) -> Path:
        """Where files are written until they are published."""
        if self._folder is None:
            raise OutputError("the staging folder is not open")
        return self._folder

    def waiting(self, name: str) -> Path:
        """Returns where a file is written that gets its name when it is published.

        A workflow engine that kills a run takes all ``.dcm`` files below the output folder, hidden ones too.
        """
        return self.folder / f"{name}{_WAITING}"

    def __enter__(self) -> Self:
        from clickseg.core.file_locks import create_locked  # takes a while: not between the folder and its lock

        try:
            self._made = _make_folders(self._output)
            _remove_leftovers(self._output, self._marker)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._output))
            self._lock = create_locked(self._folder / _LOCK)
        except OSError as error:
            self._remove()
            raise OutputError(f"{self._output}: cannot be written to: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def publish(self) -> None:
        """Moves the files to the output folder, the marker last."""
        files = sorted(path for path in self.folder.iterdir() if path.name not in (_LOCK, self._marker))
        names = {path: path.name.removesuffix(_WAITING) for path in files}
        new = {name: path.stat().st_ino for path, name in names.items() if not (self._output / name).exists()}
        with self._at_work:
            self._publish(names, new)

    def _publish(self, names: Mapping[Path, str], new: Mapping[str, int]) -> None:
        try:
            replace_whole(self.folder / _JOURNAL, json.dumps(new).encode())
            for path, name in {**names, self.folder / self._marker: self._marker}.items():
                path.replace(self._output / name)
        except BaseException as error:  # an interruption too: what was not published whole was not published
            if (self.folder / self._marker).exists():
                _undo(self.folder, self._output)
            if isinstance(error, OSError):
                raise OutputError(f"{self._output}: cannot be written to: {error.strerror}") from error
            raise

    def _remove(self) -> None:
        with self._at_work:
            self._clear()

    def _clear(self) -> None:
        """Removes the staging folder, and the output folders that were made for nothing."""
        if self._folder is not None:
            self._folder = _renamed(self._folder)  # before it is unlocked, which would make it an abandoned one
            if self._lock is not None:
                self._lock.close()
            _discard(self._folder)  # after it is unlocked: Windows neither renames nor removes open files
            self._folder = None
        with contextlib.suppress(OSError):  # one that is not empty stays
            while self._made:
                self._made.pop().rmdir()


def _make_folders(path: Path) -> list[Path]:
    """Makes a folder and its parents; returns those that were not there, the outermost first."""
    missing = [each for each in (path, *path.parents) if not each.exists()][::-1]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_leftovers(output: Path, marker: str) -> None:
    """Removes what runs have left in a folder that were killed; a running one holds a lock and is let alone."""
    remove_parts(output)
    for folder in output.glob(f"{_PREFIX}*"):
        if folder.name.startswith(_DISCARDED) and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
        if folder.is_symlink() or not folder.is_dir() or not _is_abandoned(folder):
            continue
        if (folder / marker).exists():
            _undo(folder, output)
        _discard(folder)


def _is_abandoned(folder: Path) -> bool:
    """Whether no run holds the lock of a folder."""
    from clickseg.core.file_locks import NEW, try_lock

    try:
        lock = try_lock(folder / _LOCK, create=False)
    except FileNotFoundError:
        return _was_never_born(folder, f"{_LOCK}{NEW}")
    except OSError:  # another user's, or none of ours
        return False
    if lock is None:
        return False
    lock.close()
    return True


def _was_never_born(folder: Path, new_lock: str) -> bool:
    """Whether a run was killed between making its folder and naming its lock: then nothing else is in it."""
    try:
        is_empty = {path.name for path in folder.iterdir()} <= {new_lock}
        return is_empty and time.time() - folder.stat().st_mtime > _BIRTH_S
    except OSError:
        return False


def _undo(folder: Path, output: Path) -> None:
    """Takes back the files that were published before the marker could be, if they are still the same files."""
    for name, inode in _journal(folder).items():
        path = output / name
        if Path(name).name == name and path.is_file() and path.stat().st_ino == inode:
            path.unlink()


def _journal(folder: Path) -> dict[str, int]:
    """Returns what was about to be published, by inode; nothing was where it cannot be read."""
    try:
        content = json.loads((folder / _JOURNAL).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _discard(folder: Path) -> None:
    """Removes a folder; first it gets a name that says so, for a run that is killed while it removes its files."""
    shutil.rmtree(_renamed(folder), ignore_errors=True)


def _renamed(folder: Path) -> Path:
    """Renames a folder to one whose files are being removed; returns its name, the old one where that is impossible."""
    if folder.name.startswith(_DISCARDED):
        return folder
    try:
        return folder.rename(folder.with_name(f"{_DISCARDED}{uuid.uuid4().hex}"))
    except OSError:
        return folder
