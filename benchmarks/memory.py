"""Measures the peak memory of a function in a new process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def peak_growth_bytes(make: Callable[..., Callable[[], object]], *arguments: Any) -> int:
    """Returns the growth of the peak memory of a process while it runs a function.

    Args:
        make: Allocates memory that is not measured, and returns the function to measure. It must be a function of a
            module, because it is called in a new process.
        arguments: The arguments of ``make``.
    """
    before, peak = _measure_in_process(make, arguments)
    return peak - before


def peak_resident_bytes(make: Callable[..., Callable[[], object]], *arguments: Any) -> int:
    """Returns the peak resident memory of a process while it runs a function.

    Args:
        make: As for ``peak_growth_bytes``.
        arguments: The arguments of ``make``.
    """
    _, peak = _measure_in_process(make, arguments)
    return peak


def _measure_in_process(make: Callable[..., Callable[[], object]], arguments: tuple[Any, ...]) -> tuple[int, int]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure_before_and_peak, make, arguments).result()


def _measure_before_and_peak(make: Callable[..., Callable[[], object]], arguments: tuple[Any, ...]) -> tuple[int, int]:
    function = make(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present value; ru_maxrss would be inherited
    before = _high_water_mark_bytes()
    function()
    return before, _high_water_mark_bytes()


def _high_water_mark_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
