"""Tells files of torch apart by the names in the archive, without reading their content."""

from __future__ import annotations

import zipfile
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.core.text import first_line

TORCH_SAVE, TORCH_SCRIPT, OTHER = "torch.save", "TorchScript", ""

_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The beginning of files that torch wrote before version 1.6."""

_MAX_MEMBERS = 1 << 18
_MAX_RATIO, _MIN_LIMIT = 8, 64 << 20
"""The content of an archive may be so many times larger than the file, or so many bytes: torch compresses only code."""


def archive_kind(path: Path) -> str:
    """Returns what a file is: ``TORCH_SAVE``, ``TORCH_SCRIPT`` or ``OTHER``."""
    names = member_names(path)
    if names is None:
        return TORCH_SAVE if _starts_as_legacy(path) else OTHER
    folders = [name.partition("/")[2] for name in names]
    if "constants.pkl" in folders and any(name.startswith("code/") for name in folders):
        return TORCH_SCRIPT
    return TORCH_SAVE if "data.pkl" in folders else OTHER


def member_names(path: Path) -> tuple[str, ...] | None:
    """Returns the names in a zip archive; None if the file is not one, or has too many."""
    try:
        if not path.is_file() or not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            names = tuple(archive.namelist())
    except (NotImplementedError, OSError, ValueError, zipfile.BadZipFile):
        return None
    return names if len(names) <= _MAX_MEMBERS else None


def check_content_size(path: Path) -> None:
    """Rejects archives whose content is much larger than the file; files in the legacy format are not compressed.

    Raises:
        ModelError: The content is too large, or the file cannot be read.
    """
    try:
        limit = max(_MIN_LIMIT, _MAX_RATIO * path.stat().st_size)
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (NotImplementedError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path.name}: cannot be read: {first_line(error)}") from error
    if size > limit:
        raise ModelError(f"{path.name}: expected a content of at most {limit} bytes, got {size}")


def _starts_as_legacy(path: Path) -> bool:
    if not path.is_file():  # a pipe would wait for its writer
        return False
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return False
    return start.startswith(_LEGACY_START)
