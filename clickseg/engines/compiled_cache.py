"""Keeping compiled networks on disk; one that is not what was written is compiled anew.

OpenVINO has a cache of its own, but takes what lies there unchecked: a damaged file gives other logits without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from clickseg.staging import remove_parts, replace_whole

_DIGEST_BYTES = 32


class Slot:
    """The place of one compiled network; it is named after all that the network depends on."""

    def __init__(self, folder: Path | None, depends_on: Mapping[str, object], suffix: str) -> None:
        """Names a place.

        Args:
            folder: The cache; None for none.
            depends_on: All that the compiled network depends on, as JSON can hold it.
            suffix: Of the file.
        """
        key = json.dumps(depends_on, sort_keys=True)
        self.path = None if folder is None else folder / f"{hashlib.sha256(key.encode()).hexdigest()}{suffix}"

    def read(self) -> bytes | None:
        """Returns what was written; None where nothing was, or it is damaged."""
        if self.path is None:
            return None
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return compiled if hashlib.sha256(compiled).digest() == digest else None

    def write(self, compiled: bytes) -> None:
        """Keeps a compiled network, if it can: a cache that cannot be filled costs time, and nothing else."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            remove_parts(self.path.parent)
            replace_whole(self.path, hashlib.sha256(compiled).digest() + compiled)
