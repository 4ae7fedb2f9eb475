"""Exclusive locks on files. A lock ends with the process that holds it, even if the process is killed.

The locks are those of the operating system (``flock``, ``LockFileEx``), set by ``lock_descriptor`` of filelock. Its
``FileLock`` is not suitable: it creates the file and its folder, but testing another run's lock must not create files.
"""

from __future__ import annotations

import os
from pathlib import Path

from filelock import lock_descriptor

UNLOCKED_SUFFIX = ".new"
"""The suffix of a lock file that is not locked yet."""

_MODE = 0o666
CAN_RENAME_OPEN_FILES = os.name == "posix"
"""Whether the system can rename a file that a process has open; Windows cannot."""


class FileLock:
    """The lock of this process on a file, held until ``close``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Unlocks the file. Further calls do nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def try_lock(path: Path, *, create: bool = True) -> FileLock | None:
    """Locks a file.

    Args:
        path: The file.
        create: Whether to create the file if it does not exist.

    Returns:
        The lock, or None if the file is already locked, by another process or by this one.

    Raises:
        OSError: The file cannot be opened for writing, or its file system does not support locks.
    """
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), _MODE)
    try:
        is_locked = lock_descriptor(descriptor, blocking=False)
    except BaseException:  # includes interruptions: the file must not stay open
        os.close(descriptor)
        raise
    if not is_locked:
        os.close(descriptor)
        return None
    return FileLock(descriptor)


def create_locked(path: Path) -> FileLock:
    """Creates a locked file. If a file of this name is not locked, the process that created it has ended.

    The file is locked under another name and then renamed. Windows cannot rename an open file: there the file has its
    final name before it is locked. Another process that locks it first cannot remove it, because it is open here.

    Raises:
        OSError: The file cannot be created or locked.
    """
    created = path.with_name(f"{path.name}{UNLOCKED_SUFFIX}") if CAN_RENAME_OPEN_FILES else path
    descriptor = os.open(created, os.O_RDWR | os.O_CREAT, _MODE)
    try:
        lock_descriptor(descriptor)
        if created != path:
            created.rename(path)
    except BaseException:
        os.close(descriptor)
        raise
    return FileLock(descriptor)
