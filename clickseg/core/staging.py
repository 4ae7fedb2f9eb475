"""Writing of several files that appear in the output folder together or not at all.

Files are written to a hidden folder inside the output folder (on the same file system). Then they are renamed one by
one, the marker file last: if the marker exists, the set is complete. The next run removes the files of a killed run.
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
from clickseg.core.files import remove_stale_temporaries, replace_atomically

if TYPE_CHECKING:
    from clickseg.core.file_locks import FileLock

_PREFIX = ".clickseg-"
_LOCK, _JOURNAL = ".lock", ".journal"
_UNPUBLISHED_SUFFIX = ".waiting"
"""The suffix of a file that other programs must not read as a result before it is published."""

_DISCARDED = f"{_PREFIX}discarded-"
"""The prefix of a folder whose files are being removed."""

_GRACE_S = 60.0
"""How long a folder may exist without its lock: a run creates first the folder, then the lock."""


class Staging:
    """A hidden folder whose files are published together, or removed.

    It is a context manager: if it ends without ``publish``, no files remain.
    """

    def __init__(self, output: Path, marker: str) -> None:
        self._output = output
        self._marker = marker
        self._created_folders: list[Path] = []
        self._folder: Path | None = None
        self._lock: FileLock | None = None
        self._thread_lock = threading.Lock()  # another thread cleans up after an interruption

    @property
    def folder(self) -> Path:
        """The folder that files are written to before they are published."""
        if self._folder is None:
            raise OutputError("the staging folder is not open")
        return self._folder

    def unpublished_path(self, name: str) -> Path:
        """Returns the path for writing a file that gets its final name when it is published.

        A workflow engine that kills a run collects all ``.dcm`` files below the output folder, also hidden files.
        """
        return self.folder / f"{name}{_UNPUBLISHED_SUFFIX}"

    def __enter__(self) -> Self:
        from clickseg.core.file_locks import create_locked  # slow, so not between folder and lock

        try:
            self._created_folders = _make_folders(self._output)
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
        names = {path: path.name.removesuffix(_UNPUBLISHED_SUFFIX) for path in files}
        new = {name: path.stat().st_ino for path, name in names.items() if not (self._output / name).exists()}
        with self._thread_lock:
            self._publish(names, new)

    def _publish(self, names: Mapping[Path, str], new: Mapping[str, int]) -> None:
        try:
            replace_atomically(self.folder / _JOURNAL, json.dumps(new).encode())
            for path, name in {**names, self.folder / self._marker: self._marker}.items():
                path.replace(self._output / name)
        except BaseException as error:  # includes interruptions: undo a partial publication
            if (self.folder / self._marker).exists():
                _undo(self.folder, self._output)
            if isinstance(error, OSError):
                raise OutputError(f"{self._output}: cannot be written to: {error.strerror}") from error
            raise

    def _remove(self) -> None:
        with self._thread_lock:
            self._clear()

    def _clear(self) -> None:
        """Removes the staging folder, and the output folders that were created and are still empty."""
        if self._folder is not None:
            # before unlocking: another run would treat the folder as abandoned
            self._folder = _rename_to_discarded(self._folder)
            if self._lock is not None:
                self._lock.close()
            _discard(self._folder)  # after unlocking: Windows neither renames nor removes open files
            self._folder = None
        with contextlib.suppress(OSError):  # a folder that is not empty stays
            while self._created_folders:
                self._created_folders.pop().rmdir()


def _make_folders(path: Path) -> list[Path]:
    """Creates a folder and its parents. Returns the folders that did not exist before, the outermost first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()][::-1]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_leftovers(output: Path, marker: str) -> None:
    """Removes the files of killed runs from a folder. The folder of an active run is locked, and stays."""
    remove_stale_temporaries(output)
    for folder in output.glob(f"{_PREFIX}*"):
        if folder.name.startswith(_DISCARDED) and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
        if folder.is_symlink() or not folder.is_dir() or not _is_abandoned(folder):
            continue
        if (folder / marker).exists():
            _undo(folder, output)
        _discard(folder)


def _is_abandoned(folder: Path) -> bool:
    """Returns whether no active run uses a folder."""
    from clickseg.core.file_locks import UNLOCKED_SUFFIX, try_lock

    try:
        lock = try_lock(folder / _LOCK, create=False)
    except FileNotFoundError:
        return _is_abandoned_without_lock(folder, f"{_LOCK}{UNLOCKED_SUFFIX}")
    except OSError:  # of another user, or not created by ClickSeg
        return False
    if lock is None:
        return False
    lock.close()
    return True


def _is_abandoned_without_lock(folder: Path, new_lock: str) -> bool:
    """Returns whether a run was killed between creating its folder and its lock, so that no other files exist."""
    try:
        is_empty = {path.name for path in folder.iterdir()} <= {new_lock}
        return is_empty and time.time() - folder.stat().st_mtime > _GRACE_S
    except OSError:
        return False


def _undo(folder: Path, output: Path) -> None:
    """Removes the files of a publication that did not reach the marker, unless they were replaced since."""
    for name, inode in _read_journal(folder).items():
        path = output / name
        if Path(name).name == name and path.is_file() and path.stat().st_ino == inode:
            path.unlink()


def _read_journal(folder: Path) -> dict[str, int]:
    """Returns the inodes of the new files of a publication by file name; empty if the journal cannot be read."""
    try:
        content = json.loads((folder / _JOURNAL).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _discard(folder: Path) -> None:
    """Removes a folder. It is renamed first, so that the next run finishes the removal if this one is killed."""
    shutil.rmtree(_rename_to_discarded(folder), ignore_errors=True)


def _rename_to_discarded(folder: Path) -> Path:
    """Renames a folder whose files are being removed. Returns its new path, or the old one if that is impossible."""
    if folder.name.startswith(_DISCARDED):
        return folder
    try:
        return folder.rename(folder.with_name(f"{_DISCARDED}{uuid.uuid4().hex}"))
    except OSError:
        return folder
