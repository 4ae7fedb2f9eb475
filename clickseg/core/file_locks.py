"""Exclusive locks on files, which end with the process that holds them, however it ends.

They are the operating system's own (``flock``, ``LockFileEx``), by filelock's ``lock_descriptor``. Its ``FileLock``
does not fit: it creates the file and its folder where they are missing, which asking for another run's lock must not.
"""

from __future__ import annotations

import os
from pathlib import Path

from filelock import lock_descriptor

NEW = ".new"
"""What is added to the name of a lock file that is not locked yet."""

_MODE = 0o666
RENAMES_OPEN_FILES = os.name == "posix"
"""Whether a file can be renamed while a process has it open; on Windows it cannot."""


class FileLock:
    """A file that this process has locked, until ``close``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Unlocks the file; does nothing the second time."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def try_lock(path: Path, *, create: bool = True) -> FileLock | None:
    """Locks a file.

    Args:
        path: The file.
        create: Whether to create it where it is missing.

    Returns:
        The lock; None where the file is locked already, by another process or by this one.

    Raises:
        OSError: The file cannot be opened for writing, or its file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), _MODE)
    try:
        is_locked = lock_descriptor(descriptor, blocking=False)
    except BaseException:  # an interruption too: else the file would stay open
        os.close(descriptor)
        raise
    if not is_locked:
        os.close(descriptor)
        return None
    return FileLock(descriptor)


def create_locked(path: Path) -> FileLock:
    """Creates a lock file; under its name it is unlocked only after its process has ended.

    It is locked under another name and then renamed. Windows cannot rename an open file. There it has its name before
    it is locked, and a process that locks it first cannot remove it, because it is open here.

    Raises:
        OSError: The file cannot be created or locked.
    """
    created = path.with_name(f"{path.name}{NEW}") if RENAMES_OPEN_FILES else path
    descriptor = os.open(created, os.O_RDWR | os.O_CREAT, _MODE)
    try:
        lock_descriptor(descriptor)
        if created != path:
            created.rename(path)
    except BaseException:
        os.close(descriptor)
        raise
    return FileLock(descriptor)
