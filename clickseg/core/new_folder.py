"""A folder that appears complete or not at all: it is written under a temporary name next to its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from clickseg.core.errors import OutputError

_PREFIX = ".clickseg-part-"
_STALE_AFTER_S = 3600.0
"""A temporary folder without a new file for this long was left by a killed run."""


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder, which gets its final name at the end; after an error it is removed.

    Args:
        path: The final name. It must not exist, or be an empty folder.

    Raises:
        OutputError: The path exists and is not an empty folder, or its parent cannot be written to.
    """
    temporary = _make_temporary_folder(path)
    try:
        yield temporary
        _check_free(path)
        try:
            if path.exists():
                path.rmdir()
            temporary.rename(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_temporary_folder(path: Path) -> Path:
    temporary = path.with_name(f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}")
    _check_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale_folders(path.parent)
        temporary.mkdir()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    return temporary


def _check_free(path: Path) -> None:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise OutputError(f"{path}: exists already", hint="select another folder, or remove this one")


def _remove_stale_folders(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            newest_s = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
            if folder.is_dir() and time.time() - newest_s > _STALE_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)
