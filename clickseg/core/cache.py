"""Compiled networks and kernels on disk. A damaged file is ignored, and its content is compiled again.

OpenVINO and Numba have caches of their own, but do not check the files in them: a damaged file would silently change
the results.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from clickseg.core.files import remove_stale_temporaries, replace_atomically
from clickseg.core.owned_files import open_without_following_links

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_FILE_MODE = 0o644
"""Only this user may write, whatever the umask: files that others may write are not trusted."""


class CacheEntry:
    """The file of one compiled object. Its name is a digest of everything that the object depends on."""

    def __init__(self, cache: Path | None, kind: str, depends_on: Mapping[str, object], suffix: str) -> None:
        """Derives the path of the file; reads and writes nothing.

        Args:
            cache: The folder of the cache, with one subfolder for each kind of object; None for no cache.
            kind: The name of the subfolder.
            depends_on: Everything that the compiled object depends on, as values that JSON can represent.
            suffix: The suffix of the file name.
        """
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        self.path = None if cache is None else cache / kind / f"{key}{suffix}"

    def read(self, is_trusted: Callable[[os.stat_result], bool] = lambda _: True) -> bytes | None:
        """Returns the compiled object. Returns None if the file does not exist, is damaged or is not trusted.

        Args:
            is_trusted: Decides by the status of the file whether it may be used.
        """
        if self.path is None:
            return None
        try:
            with open_without_following_links(self.path) as file:
                content = file.read() if is_trusted(os.fstat(file.fileno())) else b""
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return compiled if hashlib.sha256(compiled).digest() == digest else None

    def write(self, compiled: bytes) -> None:
        """Stores a compiled object. If the cache cannot be written to, this costs only time, so it is no error."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_stale_temporaries(self.path.parent)
            replace_atomically(self.path, hashlib.sha256(compiled).digest() + compiled, _FILE_MODE)
        except OSError as error:
            logger.debug("not stored in the cache: %s: %s", self.path, error.strerror)
