"""Runs the ``clickseg`` command without the features that only Linux or POSIX has, to simulate Windows.

It shows that ClickSeg does not need these features. It is not Windows: Python, the disk, OpenVINO and all other
libraries are those of Linux. psutil and filelock use the calls of the system, and those of Windows are not available
here. Therefore both are imported first. filelock uses the locks of Linux, and the values of psutil are replaced by
typical values on Windows.

``python -m tests.helpers.other_system JSON`` runs a list of commands, each a list of arguments.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import filelock  # noqa: F401 - before `fcntl` is removed
import psutil

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
SIGNALS = ("SIGHUP", "SIGKILL", "SIG_BLOCK", "pthread_kill", "pthread_sigmask", "sigwait")
_FLAGS = ("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_TMPFILE")
_FILES = ("chown", "fchmod", "fchown", "mkfifo", "posix_fadvise", "pread", "preadv", "pwrite", "pwritev", "sync")
_USERS = ("getegid", "geteuid", "getgid", "getuid", "setegid", "seteuid", "setgid", "setuid")
_MACHINE = ("fork", "getloadavg", "nice", "sched_getaffinity", "sched_setaffinity", "sysconf")
OS_NAMES = frozenset(_FLAGS + _FILES + _USERS + _MACHINE)
PEAK_BYTES = 321 << 20


def remove_system_features() -> None:
    """Removes the features that other systems lack, for the rest of the process."""
    processors = list(range(len(os.sched_getaffinity(0))))  # unchanged: the engine fingerprint contains the threads
    memory = SimpleNamespace(rss=200 << 20, peak_wset=PEAK_BYTES)
    psutil.virtual_memory = lambda: SimpleNamespace(available=4 << 30)
    psutil.Process = lambda: SimpleNamespace(memory_info=lambda: memory, cpu_affinity=lambda: processors)
    for name in MODULES:
        sys.modules[name] = None  # an import of it raises ImportError
    for module, names in ((os, OS_NAMES), (signal, SIGNALS)):
        for name in names:
            delattr(module, name)
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # files without a name exist on POSIX only
    shutil._use_fd_functions = False
    sys.addaudithook(WindowsErrors())


class WindowsErrors:
    """Raises the errors of Windows, which has no ``/proc`` and ``/sys``, and neither renames nor removes open files."""

    def __init__(self) -> None:
        self._state = threading.local()

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if getattr(self._state, "is_listing", False):
            return
        if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.fsdecode(arguments[0])
            if path.startswith(("/proc", "/sys")):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if event in ("os.rename", "os.remove", "os.rmdir"):
            names = arguments[:2] if event == "os.rename" else arguments[:1]
            self._reject_open_files([os.path.realpath(os.fsdecode(name)) for name in names])

    def _reject_open_files(self, paths: list[str]) -> None:
        self._state.is_listing = True
        try:
            files = list(open_files())
        finally:
            self._state.is_listing = False
        for path in paths:
            if any(file == path or file.startswith(f"{path}{os.sep}") for file in files):
                raise PermissionError(errno.EACCES, "The file is being used by another process", path)


def open_files() -> Iterator[str]:
    """Yields the files that this process has open or mapped into memory."""
    for link in Path("/proc/self/fd").iterdir():
        try:
            yield str(link.readlink())
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        _, slash, path = line.partition("/")
        yield f"{slash}{path}"


def main(commands: list[list[str]]) -> int:
    """Runs commands until one fails. Returns the exit code of the last command that was run."""
    remove_system_features()
    from clickseg.cli.main import main as clickseg
    from clickseg.core import file_locks

    file_locks.CAN_RENAME_OPEN_FILES = False

    return next((code for code in map(clickseg, commands) if code), 0)


if __name__ == "__main__":
    raise SystemExit(main(json.loads(sys.argv[1])))
