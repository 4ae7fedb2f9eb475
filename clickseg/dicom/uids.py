"""UIDs made from content: the same content has the same UID, and no UID ever names two contents."""

from __future__ import annotations

import hashlib
import uuid


def content_uid(*parts: str | bytes) -> str:
    """Returns the ``2.25`` UID (PS3.5, B.2) of a hash over some content.

    Args:
        parts: The content, in an order that belongs to it.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"2.25.{uuid.UUID(bytes=digest.digest()[:16], version=5).int}"
