"""Owners of files. Windows has neither user ids nor the owner in the status of a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_NO_FOLLOW_NO_WAIT = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def user_and_group() -> tuple[int, int] | None:
    """Returns the user id and group id of this process, or None if the system has no such ids."""
    return (os.getuid(), os.getgid()) if hasattr(os, "getuid") else None


def has_file_owners() -> bool:
    """Returns whether files have owners on this system; otherwise ``is_trusted_file`` is never True."""
    return hasattr(os, "geteuid")


def is_trusted_file(status: os.stat_result) -> bool:
    """Returns whether a file is a regular file that only this user and root can have written."""
    is_owned = has_file_owners() and stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid())
    return is_owned and not status.st_mode & _WRITABLE_BY_OTHERS


def open_without_following_links(path: Path) -> BinaryIO:
    """Opens a file for reading, without waiting for the writer of a pipe. On Windows, links are followed.

    Raises:
        OSError: The file cannot be opened, or is a link.
    """
    return os.fdopen(os.open(path, os.O_RDONLY | _NO_FOLLOW_NO_WAIT), "rb")
