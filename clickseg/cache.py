"""The folder that compiled networks are kept in, where it can be written to."""

from __future__ import annotations

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


def cache_folder(cache: Path | None, name: str) -> Path | None:
    """Returns a folder for one kind of thing, made where it is missing; None where nothing can be kept.

    Args:
        cache: The folder for all kinds; None for none.
        name: The kind.
    """
    if cache is None:
        return None
    folder = cache / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logger.debug("no cache at %s: %s", folder, error.strerror)
        return None
    return folder if os.access(folder, os.W_OK) else None
