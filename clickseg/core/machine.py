"""Processors and memory that this process may use, from psutil as far as it supports them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil


def processor_count() -> int:
    """Returns the number of processors that this process may run on; all of them on a system without affinity (macOS).

    The CPU quota of a control group is ignored: it limits time, not the number of processors.
    """
    process = psutil.Process()
    affinity = process.cpu_affinity() if hasattr(process, "cpu_affinity") else ()
    return len(affinity) or os.cpu_count() or 1


def available_memory_bytes() -> int:
    """Returns the memory that new allocations can take without swapping."""
    return int(psutil.virtual_memory().available)


def resident_memory_bytes() -> int:
    """Returns the resident set size of this process."""
    return int(psutil.Process().memory_info().rss)


def peak_memory_bytes() -> int:
    """Returns the largest resident set size that this process has had."""
    windows_peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if windows_peak is not None:
        return int(windows_peak)
    import resource  # psutil has the peak only on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): bytes on macOS, else KiB


def control_group_limits(root: Path = Path("/")) -> Iterator[int]:
    """Yields the memory limits of the control groups of this process, in bytes.

    The limits are those of a group and its parents: ``memory.max`` in version 2, and ``memory.limit_in_bytes`` in
    version 1. psutil does not provide them.

    Args:
        root: The folder of ``proc`` and ``sys``.
    """
    for line in _read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, name = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        top = root / "sys/fs/cgroup" / mount
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            limit = _read_text(folder / name).strip()
            if limit.isdecimal():
                yield int(limit)
            if folder == top:
                break


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
