"""Files of a session, each with a SHA-256. It reveals files that are damaged or of another session."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from clickseg.core.errors import OutputError
from clickseg.core.files import remove_stale_temporaries, replace_atomically

CHECKSUM_BYTES = 32
"""The length of the SHA-256, which is stored before the content."""


class ChecksumFolder:
    """A folder of files with checksums. A checksum covers the session, the file name and the content."""

    def __init__(self, folder: Path, session: bytes) -> None:
        """Creates the folder.

        Args:
            folder: The folder.
            session: A digest of everything that the files depend on, apart from their names.

        Raises:
            OutputError: The folder cannot be created.
        """
        self._folder, self._session = folder, session
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be created: {error.strerror}") from error
        remove_stale_temporaries(folder)

    def path(self, name: str) -> Path:
        """Returns the path of a file."""
        return self._folder / name

    def names_from_oldest(self, pattern: str) -> list[str]:
        """Returns the names of files that match a pattern, sorted from oldest to newest."""
        times_ns = {}
        for path in self._folder.glob(pattern):
            with contextlib.suppress(OSError):  # removed in the meantime
                times_ns[path.name] = path.lstat().st_mtime_ns
        return sorted(times_ns, key=lambda name: times_ns[name])

    def remove(self, name: str) -> None:
        """Removes a file. A file that cannot be removed was not written by this class, and stays."""
        with contextlib.suppress(OSError):
            self.path(name).unlink()

    def write(self, name: str, content: bytes) -> None:
        """Writes a file atomically.

        Raises:
            OutputError: The file cannot be written, as when the disk is full.
        """
        path = self.path(name)
        try:
            replace_atomically(path, self._checksum(name, content) + content)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """Returns the content of a file, or None if it cannot be read, is damaged, or is of another session.

        Args:
            name: The name of the file.
            max_bytes: The largest possible size of the content. A longer file is damaged, and is not read.
        """
        path = self.path(name)
        try:
            is_readable = path.is_file() and path.stat().st_size <= CHECKSUM_BYTES + max_bytes
            data = path.read_bytes() if is_readable else b""
        except OSError:
            return None
        content = data[CHECKSUM_BYTES:]
        return content if self._checksum(name, content) == data[:CHECKSUM_BYTES] else None

    def _checksum(self, name: str, content: bytes) -> bytes:
        return hashlib.sha256(self._session + name.encode() + b"\0" + content).digest()
