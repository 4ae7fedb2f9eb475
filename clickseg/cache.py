"""Files that are kept because making them takes time; each begins with its SHA-256, and counts only if it is whole."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from clickseg.staging import remove_parts, replace_whole

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32


def kept_file(path: Path) -> bytes | None:
    """Returns what ``keep_file`` wrote; None where there is nothing, or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, kept = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return kept if hashlib.sha256(kept).digest() == digest else None


def keep_file(path: Path, content: bytes) -> None:
    """Writes a file, and the folders above it; where it cannot be written that costs time later, and nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_parts(path.parent)
        replace_whole(path, hashlib.sha256(content).digest() + content)
    except OSError as error:
        logger.debug("not kept: %s: %s", path, error.strerror)
