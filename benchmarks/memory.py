"""Peak memory of a piece of work, in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def peak_bytes(make: Callable[..., Callable[[], object]], *arguments: Any) -> int:
    """Returns by how much the memory of a process grows while it works.

    Args:
        make: Makes ready what is not counted, and returns the work; a function of a module, called in a new process.
        arguments: What it is given.
    """
    before, peak = _in_a_process(make, arguments)
    return peak - before


def resident_bytes(make: Callable[..., Callable[[], object]], *arguments: Any) -> int:
    """Returns how much memory a process takes at most while it works; arguments as for ``peak_bytes``."""
    _, peak = _in_a_process(make, arguments)
    return peak


def _in_a_process(make: Callable[..., Callable[[], object]], arguments: tuple[Any, ...]) -> tuple[int, int]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_before_and_peak, make, arguments).result()


def _before_and_peak(make: Callable[..., Callable[[], object]], arguments: tuple[Any, ...]) -> tuple[int, int]:
    work = make(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is there; ru_maxrss is inherited
    before = _peak_bytes()
    work()
    return before, _peak_bytes()


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
