"""Files of one session, which begin with a SHA-256 over what they are of and hold: another's, or damage, is seen."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from clickseg.core.errors import OutputError
from clickseg.core.files import remove_parts, replace_whole

SEAL_BYTES = 32
"""How long the SHA-256 before the content is."""


class SealedFolder:
    """A folder of such files."""

    def __init__(self, folder: Path, session: bytes) -> None:
        """Makes the folder.

        Args:
            folder: The folder.
            session: A digest of all that the files depend on, but for what their names say.

        Raises:
            OutputError: It cannot be made.
        """
        self._folder, self._session = folder, session
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error
        remove_parts(folder)

    def path(self, name: str) -> Path:
        """Returns where a file is."""
        return self._folder / name

    def oldest_first(self, pattern: str) -> list[str]:
        """Returns the names that match, those first that were written the longest time ago."""
        written = {}
        for path in self._folder.glob(pattern):
            with contextlib.suppress(OSError):  # it has gone
                written[path.name] = path.lstat().st_mtime_ns
        return sorted(written, key=lambda name: written[name])

    def remove(self, name: str) -> None:
        """Removes a file; what cannot be removed is no file of ours."""
        with contextlib.suppress(OSError):
            self.path(name).unlink()

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, which is whole or not there.

        Raises:
            OutputError: The disk is full.
        """
        path = self.path(name)
        try:
            replace_whole(path, self._seal(name, content) + content)
        except OSError as error:
            raise OutputError(f"{path}: cannot be kept: {error.strerror}") from error

    def read(self, name: str, most: int) -> bytes | None:
        """Returns what a file holds; None where it cannot be read, is damaged, or of another session.

        Args:
            name: The file.
            most: How many bytes it may hold; what is longer is damaged, and not read.
        """
        path = self.path(name)
        try:
            is_ours = path.is_file() and path.stat().st_size <= SEAL_BYTES + most
            sealed = path.read_bytes() if is_ours else b""
        except OSError:
            return None
        content = sealed[SEAL_BYTES:]
        return content if self._seal(name, content) == sealed[:SEAL_BYTES] else None

    def _seal(self, name: str, content: bytes) -> bytes:
        return hashlib.sha256(self._session + name.encode() + b"\0" + content).digest()
