"""Files of one session, which begin with a SHA-256 over what they are of and hold: another's, or damage, is seen."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clickseg.errors import OutputError
from clickseg.staging import remove_parts, replace_whole

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

    def named(self, pattern: str) -> list[Path]:
        """Returns the files whose names match."""
        return list(self._folder.glob(pattern))

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

    def read(self, name: str) -> bytes | None:
        """Returns what a file holds; None where it is not there, damaged, or of another session."""
        path = self.path(name)
        sealed = path.read_bytes() if path.is_file() else b""
        content = sealed[SEAL_BYTES:]
        return content if self._seal(name, content) == sealed[:SEAL_BYTES] else None

    def _seal(self, name: str, content: bytes) -> bytes:
        return hashlib.sha256(self._session + name.encode() + b"\0" + content).digest()
