"""Users and what they own, where the system has them: Windows has neither user ids nor owners in a file's status."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NO_LINK_NO_WAIT = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def user_and_group() -> tuple[int, int] | None:
    """Returns the ids of this process's user and group; None where the system has none."""
    return (os.getuid(), os.getgid()) if hasattr(os, "getuid") else None


def knows_owners() -> bool:
    """Returns whether ``is_ours`` can be True on this system."""
    return hasattr(os, "geteuid")


def is_ours(status: os.stat_result) -> bool:
    """Returns whether a file is a regular one that nobody but this user and root could have written."""
    is_owned = knows_owners() and stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid())
    return is_owned and not status.st_mode & _OTHERS_MAY_WRITE


def open_itself(path: Path) -> BinaryIO:
    """Opens a file for reading; except on Windows a link is not followed, and a pipe not waited for.

    Raises:
        OSError: It cannot be opened.
    """
    return os.fdopen(os.open(path, os.O_RDONLY | _NO_LINK_NO_WAIT), "rb")
