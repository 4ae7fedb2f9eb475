"""The memory limit of a run: set by the user, else that of the machine or its control groups."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clickseg.core.errors import MemoryLimitError, UsageError
from clickseg.core.machine import available_memory_bytes, control_group_limits, resident_memory_bytes

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_PLANNED_FRACTION = 0.9
"""The part of the limit that is planned with. The rest is for allocations that are not estimated."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory limit of a run.

    Attributes:
        limit_bytes: The largest resident memory of the process.
        spool_folder: A folder on disk for data that do not fit into memory.
    """

    limit_bytes: int
    spool_folder: Path

    def free_bytes(self) -> int:
        """Returns how many more bytes this process may take; negative if it is above the limit."""
        return int(self.limit_bytes * _PLANNED_FRACTION) - resident_memory_bytes()

    def check_available(self, needed_bytes: int, purpose: str) -> None:
        """Checks that the limit leaves enough memory.

        Args:
            needed_bytes: The memory that is needed at least.
            purpose: What the memory is needed for, for the message.

        Raises:
            MemoryLimitError: The limit leaves less memory than needed.
        """
        missing_bytes = needed_bytes - self.free_bytes()
        if missing_bytes > 0:
            needed_mb, limit_mb = _to_mb(self.limit_bytes + missing_bytes), _to_mb(self.limit_bytes)
            raise MemoryLimitError(
                f"memory: expected at least {needed_mb} MB for {purpose}, got a limit of {limit_mb} MB",
                hint="raise --memory-limit, or the limit of the container",
            )


def machine_memory() -> Memory:
    """Returns the memory limit of the machine or the container, with the temporary folder for data that do not fit."""
    return Memory(machine_limit_bytes(), Path(tempfile.gettempdir()))


def parse_size(value: str) -> int:
    """Returns the bytes of a size such as ``8G``, ``512 MiB`` or ``1000000``. Units are powers of 1024.

    Raises:
        UsageError: The value is not a size.
    """
    match = _SIZE.fullmatch(value.strip())
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if not size:
        raise UsageError(f"memory-limit: expected a size such as 8G or 512M, got {value!r}")
    return size


def machine_limit_bytes(root: Path = Path("/")) -> int:
    """Returns the memory that this process can grow to, from the free memory and the limits of its control groups.

    Args:
        root: The folder of ``proc`` and ``sys``, in which the control groups are looked up.
    """
    return min([available_memory_bytes() + resident_memory_bytes(), *control_group_limits(root)])


def _to_mb(size: int) -> int:
    return -(-size // 1_000_000)
