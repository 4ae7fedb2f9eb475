"""What this process may use of the machine: processors and memory, by psutil where it knows them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil


def processor_count() -> int:
    """Returns how many processors this process may run on; all of them where the system has no affinity (macOS).

    The quota of a control group does not count: it limits time, not processors.
    """
    process = psutil.Process()
    affinity = process.cpu_affinity() if hasattr(process, "cpu_affinity") else ()
    return len(affinity) or os.cpu_count() or 1


def available_memory_bytes() -> int:
    """Returns how much memory new allocations can take without swapping."""
    return int(psutil.virtual_memory().available)


def resident_memory_bytes() -> int:
    """Returns the resident set size of this process."""
    return int(psutil.Process().memory_info().rss)


def peak_memory_bytes() -> int:
    """Returns the largest resident set size that this process had."""
    of_windows = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if of_windows is not None:
        return int(of_windows)
    import resource  # psutil knows no peak elsewhere

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): bytes on macOS, else KiB


def control_group_limits(root: Path = Path("/")) -> Iterator[int]:
    """Yields the memory limits of this process's control groups, in bytes; none where there are no such groups.

    Of version 2 ``memory.max``, of a group and those above it, and of version 1 ``memory.limit_in_bytes``. psutil does
    not know them.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
