"""Reads single members of zip files of other tools, without extracting anything else."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.core.text import first_line
from clickseg.models.importers.archives import member_names

_MAX_MODEL_BYTES = 4 << 30
_MAX_RATIO = 100
"""The largest ratio of a member to its compressed size; weights hardly compress."""

_ERRORS = (EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


def find_folder(path: Path, names: Sequence[str]) -> str | None:
    """Returns the folder in a zip file that contains some files: empty, or a name with a slash; None if none does.

    Args:
        path: The zip file; None is also returned for a file of another format.
        names: The names of the files.
    """
    members = set(member_names(path) or ())
    folders = sorted(member.removesuffix(names[0]) for member in members if member.split("/")[-1] == names[0])
    usable = [
        folder for folder in folders if folder.count("/") <= 1 and all(folder + name in members for name in names)
    ]
    return usable[0] if usable else None


def read_member(path: Path, name: str, max_bytes: int) -> bytes:
    """Returns the content of a member.

    Raises:
        ModelError: It is larger than ``max_bytes``, damaged, or there are several of its name.
    """
    with _archive(path) as archive:
        _check_member(archive, name, path, max_bytes)
        return archive.read(name)


def extract_member(path: Path, name: str, target: Path) -> None:
    """Writes a member to a file.

    Raises:
        ModelError: It is too large or damaged, there are several of its name, or the file cannot be written.
    """
    with _archive(path) as archive:
        _check_member(archive, name, path, _MAX_MODEL_BYTES)
        with archive.open(name) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except ModelError:
        raise
    except (*_ERRORS, KeyError) as error:
        raise ModelError(f"{path.name}: cannot be read: {first_line(error)}") from error


def _check_member(archive: zipfile.ZipFile, name: str, path: Path, max_bytes: int) -> None:
    if archive.namelist().count(name) > 1:  # programs differ in which one they read
        raise ModelError(f"{path.name}: {name!r:.80}: expected one member of this name")
    member = archive.getinfo(name)
    if member.file_size > max_bytes or member.file_size > _MAX_RATIO * max(member.compress_size, 1 << 10):
        raise ModelError(
            f"{path.name}: {name!r:.80}: expected at most {max_bytes} bytes and {_MAX_RATIO} times its "
            f"compressed size, got {member.file_size}"
        )
