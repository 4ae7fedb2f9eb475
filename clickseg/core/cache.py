"""Compiled networks and loops on disk; what is not what was written is compiled anew.

OpenVINO and Numba have caches of their own, but take what lies there unchecked: a damaged file gives other results
without a word.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from clickseg.core.files import remove_parts, replace_whole
from clickseg.core.owned_files import open_itself

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_OURS = 0o644
"""For this user to write, whatever the umask: what others may write is not trusted."""


class Slot:
    """The place of one compiled thing; it is named after all that this depends on."""

    def __init__(self, cache: Path | None, kind: str, depends_on: Mapping[str, object], suffix: str) -> None:
        """Names a place.

        Args:
            cache: The folder for all kinds of things; None for none.
            kind: The folder in it.
            depends_on: All that the compiled thing depends on, as JSON can hold it.
            suffix: Of the file.
        """
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        self.path = None if cache is None else cache / kind / f"{key}{suffix}"

    def read(self, is_trusted: Callable[[os.stat_result], bool] = lambda _: True) -> bytes | None:
        """Returns what was written; None where nothing was, or it is damaged.

        Args:
            is_trusted: Whether a file may count, by its status.
        """
        if self.path is None:
            return None
        try:
            with open_itself(self.path) as file:
                content = file.read() if is_trusted(os.fstat(file.fileno())) else b""
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return compiled if hashlib.sha256(compiled).digest() == digest else None

    def write(self, compiled: bytes) -> None:
        """Keeps something, if it can: a cache that cannot be filled costs time, and nothing else."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_parts(self.path.parent)
            replace_whole(self.path, hashlib.sha256(compiled).digest() + compiled, _OURS)
        except OSError as error:
            logger.debug("not kept: %s: %s", self.path, error.strerror)
