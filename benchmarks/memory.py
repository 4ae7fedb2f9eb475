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
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_grown, make, arguments).result()


def _grown(make: Callable[..., Callable[[], object]], arguments: tuple[Any, ...]) -> int:
    work = make(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is there; ru_maxrss is inherited
    before = _peak_bytes()
    work()
    return _peak_bytes() - before


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
