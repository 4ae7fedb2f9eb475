"""How much memory a run may take: what the user sets, else what the machine or its control group has."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clickseg.errors import MemoryLimitError, UsageError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_USED = 0.9
"""How much of the limit is planned with: the rest is for what nobody counts."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a run may take.

    Attributes:
        limit_bytes: Its resident memory at most.
        spool: A folder on a disk, for what does not fit.
    """

    limit_bytes: int
    spool: Path

    def left(self) -> int:
        """Returns how many bytes this process may still take; below 0 where it took too many."""
        return int(self.limit_bytes * _USED) - _resident_bytes()

    def check(self, needed_bytes: int, what: str) -> None:
        """Refuses what does not fit.

        Args:
            needed_bytes: What will be taken at least.
            what: What for.

        Raises:
            MemoryLimitError: It is more than is left.
        """
        lacking = needed_bytes - self.left()
        if lacking > 0:
            raise MemoryLimitError(
                f"memory: expected at least {_mb(self.limit_bytes + lacking)} MB for {what}, got a limit of "
                f"{_mb(self.limit_bytes)} MB",
                hint="raise --memory-limit, or the limit of the container",
            )


def machine_memory() -> Memory:
    """Returns the memory of the machine or the container; what does not fit is kept in the temporary folder."""
    return Memory(machine_limit_bytes(), Path(tempfile.gettempdir()))


def read_size(value: str) -> int:
    """Returns the bytes of a size such as ``8G``, ``512 MiB`` or ``1000000``; units are powers of 1024.

    Raises:
        UsageError: It is none.
    """
    match = _SIZE.fullmatch(value.strip())
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if not size:
        raise UsageError(f"memory-limit: expected a size such as 8G or 512M, got {value!r}")
    return size


def machine_limit_bytes(root: Path = Path("/")) -> int:
    """Returns what this process may grow to: by what the machine has left, and by the limits of its control groups.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    available = re.search(
        r"^MemAvailable:\s*(\d+) kB", (root / "proc/meminfo").read_text(encoding="ascii"), re.MULTILINE
    )
    machine = int(available[1]) * 1024 + _resident_bytes() if available else _physical_bytes()
    return min([machine, *_control_group_limits(root)])


def _control_group_limits(root: Path) -> Iterator[int]:
    """Yields the limits of version 2 (memory.max, of a group and those above it) and version 1 (limit_in_bytes)."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, name = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        top = root / "sys/fs/cgroup" / mount
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            limit = _text(folder / name).strip()
            if limit.isdecimal():
                yield int(limit)
            if folder == top:
                break


def _mb(size: int) -> int:
    return -(-size // 1_000_000)


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _resident_bytes() -> int:
    """Returns the resident set size of this process (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
