"""Processors and memory of this process, as each operating system reports them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from clickseg.core.machine import available_memory_bytes, peak_memory_bytes, processor_count, resident_memory_bytes

MEMINFO = """MemTotal: 64000000 kB
MemFree: 500 kB
MemAvailable: 3000 kB
Buffers: 100 kB
Cached: 20000 kB
Active: 300 kB
Inactive: 400 kB
Shmem: 50 kB
Slab: 60 kB
SReclaimable: 10 kB
"""
COUNT = """
import os
from clickseg.core.machine import processor_count
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(processor_count())
"""
MB = 1 << 20


def test_only_processors_that_the_process_may_run_on_are_counted() -> None:
    process = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)

    assert process.stdout == "1\n"
    assert processor_count() == len(os.sched_getaffinity(0))


def test_without_affinity_all_processors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "Process", SimpleNamespace)  # as on macOS: without cpu_affinity
    monkeypatch.setattr(os, "cpu_count", lambda: 11)

    assert processor_count() == 11


def test_available_memory_is_that_of_proc_meminfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    assert available_memory_bytes() == 3000 * 1024


def test_the_peak_includes_memory_that_was_freed() -> None:
    before = resident_memory_bytes()
    block = b"1" * (256 * MB)
    allocated = resident_memory_bytes()
    del block

    assert allocated - before > 0.9 * 256 * MB
    assert peak_memory_bytes() > 0.99 * allocated  # Linux updates page counts in batches
    assert peak_memory_bytes() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("system", "status", "peak"),
    [
        ("win32", SimpleNamespace(rss=5 * MB, peak_wset=9 * MB), 9 * MB),
        ("darwin", SimpleNamespace(rss=5 * MB), 7 * MB),
        ("linux", SimpleNamespace(rss=5 * MB), 7 * MB * 1024),
    ],
)
def test_the_peak_is_in_bytes_on_each_system(
    monkeypatch: pytest.MonkeyPatch, system: str, status: SimpleNamespace, peak: int
) -> None:
    """The value of ``ru_maxrss`` (getrusage(2)) is in bytes on macOS, and in KiB on Linux."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: status))
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=7 * MB))

    assert peak_memory_bytes() == peak
