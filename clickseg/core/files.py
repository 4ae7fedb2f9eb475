"""Atomic writing of files, and the SHA-256 of files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from pathlib import Path

from clickseg.core.errors import OutputError

_TEMPORARY_PREFIX = ".clickseg-part-"
"""The prefix of the temporary file that is renamed to its final name when it is complete."""

_STALE_AFTER_S = 60.0
"""A temporary file without a write for this long is stale, since files are renamed as soon as they are complete."""

_BLOCK_BYTES = 1 << 20


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically: after an error it has its old content. Writes to a device or a pipe directly.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_atomically(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise OutputError(f"{path.name}: cannot be written: {error.strerror}") from error


def temporary_path(path: Path) -> Path:
    """Returns the path of a temporary file in the folder of a file, as ``remove_stale_temporaries`` recognizes it."""
    return path.with_name(f"{_TEMPORARY_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}{path.suffix}")


def replace_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Writes a file atomically: after an error it has its old content. A link at the path is replaced, not followed.

    Args:
        path: The file.
        content: The new content.
        mode: The permission bits, of which the umask of the process removes some.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = temporary_path(path)
    try:
        temporary.touch(mode)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def remove_stale_temporaries(folder: Path) -> None:
    """Removes temporary files of killed runs from a folder. Files that a run is still writing are younger, and stay."""
    for path in folder.glob(f"{_TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE_AFTER_S:
                path.unlink()


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
