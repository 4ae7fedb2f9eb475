"""The load of a GPU while code runs: its utilization, as ``nvidia-smi`` reports it, and the peak of its used memory."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

_INTERVAL_S = 0.02


@dataclass(slots=True)
class GpuLoad:
    """Measurements of a GPU; empty without a GPU.

    Attributes:
        utilization: Percentages of the time in which a kernel was running; empty if the driver does not report them.
        used_bytes: The memory in use by all processes.
    """

    utilization: list[int] = field(default_factory=list)
    used_bytes: list[int] = field(default_factory=list)

    @property
    def mean_utilization(self) -> float | str:
        """The mean utilization in percent."""
        return round(sum(self.utilization) / len(self.utilization)) if self.utilization else "unknown"

    @property
    def peak_gb(self) -> float:
        """The largest memory in use, with the CUDA context of the process, in GB; 0 without measurements."""
        return round(max(self.used_bytes, default=0) / 1e9, 2)


@contextmanager
def measure_load(device: str) -> Iterator[GpuLoad]:
    """Frees the memory that torch and CuPy cache, then measures the load of a GPU while the block runs.

    Args:
        device: ``cuda``, or ``cpu`` for no measurements.
    """
    load, is_finished = GpuLoad(), threading.Event()
    if device == "cpu":
        yield load
        return
    _free_cached_memory()
    thread = threading.Thread(target=_sample, args=(load, is_finished))
    thread.start()
    try:
        yield load
    finally:
        is_finished.set()
        thread.join()


def _free_cached_memory() -> None:
    """Frees the memory that would otherwise count as memory of the next measurement."""
    gc.collect()
    torch.cuda.empty_cache()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def _sample(load: GpuLoad, is_finished: threading.Event) -> None:
    errors = _utilization_errors()
    reports_utilization = True
    while True:
        free, total = torch.cuda.mem_get_info()
        load.used_bytes.append(total - free)
        if reports_utilization:
            try:
                load.utilization.append(torch.cuda.utilization())
            except errors:  # for example, NVML does not report it for a part of a GPU (MIG)
                reports_utilization = False
        if is_finished.wait(_INTERVAL_S):
            return


def _utilization_errors() -> tuple[type[Exception], ...]:
    """Returns the exceptions of ``torch.cuda.utilization`` without NVML, or if NVML cannot measure the GPU."""
    try:
        from pynvml import NVMLError
    except ImportError:
        return ImportError, RuntimeError
    return ImportError, RuntimeError, NVMLError
