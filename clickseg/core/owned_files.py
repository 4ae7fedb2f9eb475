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
    return has_file_owners() and _is_trusted(status, (stat.S_IFREG,))


def is_trusted_tree(folder: Path) -> bool:
    """Returns whether a folder and all in it are folders and regular files that only this user and root can write.

    On a system without file owners every folder is trusted.

    Raises:
        OSError: A folder cannot be read.
    """
    if not has_file_owners():
        return True
    paths = [folder, *folder.rglob("*")]
    return all(_is_trusted(path.lstat(), (stat.S_IFREG, stat.S_IFDIR)) for path in paths)


def make_trusted_tree(folder: Path) -> None:
    """Removes the rights of other users to write a folder and all in it, which the umask may have granted.

    Raises:
        OSError: A mode cannot be changed.
    """
    for path in (folder, *folder.rglob("*")):
        path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~_WRITABLE_BY_OTHERS)


def _is_trusted(status: os.stat_result, kinds: tuple[int, ...]) -> bool:
    is_owned = stat.S_IFMT(status.st_mode) in kinds and status.st_uid in (0, os.geteuid())
    return is_owned and not status.st_mode & _WRITABLE_BY_OTHERS


def open_without_following_links(path: Path) -> BinaryIO:
    """Opens a file for reading, without waiting for the writer of a pipe. On Windows, links are followed.

    Raises:
        OSError: The file cannot be opened, or is a link.
    """
    return os.fdopen(os.open(path, os.O_RDONLY | _NO_FOLLOW_NO_WAIT), "rb")
