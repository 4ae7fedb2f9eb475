"""Files: written so that they are whole or what they were, and their SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from pathlib import Path

from clickseg.core.errors import OutputError

_PART = ".clickseg-part-"
"""What a file is called that will replace another one when it is whole."""

_WRITING_S = 60.0
"""How long a part may be there without being written to: it is renamed as soon as it is whole."""

_PIECE_BYTES = 1 << 20


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file that is either whole, or what it was; to a device or a pipe as it comes.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_whole(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise OutputError(f"{path.name}: cannot be written: {error.strerror}") from error


def part_of(path: Path) -> Path:
    """Returns a name beside a file, for what will replace it when it is whole; ``remove_parts`` knows it."""
    return path.with_name(f"{_PART}{os.getpid()}-{uuid.uuid4().hex[:8]}{path.suffix}")


def replace_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Writes a file that is either whole, or what it was; a link of that name is replaced, not followed.

    Args:
        path: The file.
        content: What it shall hold.
        mode: Who may read and write it at most; the process's umask counts too.

    Raises:
        OSError: It cannot be written.
    """
    part = part_of(path)
    try:
        part.touch(mode)
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def remove_parts(folder: Path) -> None:
    """Removes parts in a folder whose writers were killed; what another run writes at the moment is younger."""
    for path in folder.glob(f"{_PART}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _WRITING_S:
                path.unlink()


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
