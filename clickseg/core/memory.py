"""How much memory a run may take: what the user sets, else what the machine or its control group has."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clickseg.core.errors import MemoryLimitError, UsageError
from clickseg.core.machine import available_memory_bytes, control_group_limits, resident_memory_bytes

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
        return int(self.limit_bytes * _USED) - resident_memory_bytes()

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
        root: Where the control groups are looked up, below ``proc`` and ``sys``.
    """
    return min([available_memory_bytes() + resident_memory_bytes(), *control_group_limits(root)])


def _mb(size: int) -> int:
    return -(-size // 1_000_000)
