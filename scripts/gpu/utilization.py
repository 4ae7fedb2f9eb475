"""The utilization of a GPU while code runs, as ``nvidia-smi`` reports it, and the peak of its memory in use."""

from __future__ import annotations

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
        utilization: Percentages of the time in which a kernel was running.
        used_bytes: The memory in use by all processes.
    """

    utilization: list[int] = field(default_factory=list)
    used_bytes: list[int] = field(default_factory=list)

    @property
    def mean_utilization(self) -> float:
        """The mean utilization in percent; 0 without measurements."""
        return sum(self.utilization) / max(len(self.utilization), 1)

    @property
    def peak_gb(self) -> float:
        """The largest memory in use minus the memory in use at the start, in GB; 0 without measurements."""
        return (max(self.used_bytes) - self.used_bytes[0]) / 1e9 if self.used_bytes else 0.0


@contextmanager
def measure_load(device: str) -> Iterator[GpuLoad]:
    """Measures the load of a GPU while the block runs.

    Args:
        device: ``cuda``, or ``cpu`` for no measurements.
    """
    load, is_finished = GpuLoad(), threading.Event()
    if device == "cpu":
        yield load
        return
    thread = threading.Thread(target=_sample, args=(load, is_finished))
    _add_sample(load)
    thread.start()
    try:
        yield load
    finally:
        is_finished.set()
        thread.join()


def _sample(load: GpuLoad, is_finished: threading.Event) -> None:
    while not is_finished.wait(_INTERVAL_S):
        _add_sample(load)


def _add_sample(load: GpuLoad) -> None:
    free, total = torch.cuda.mem_get_info()
    load.used_bytes.append(total - free)
    load.utilization.append(torch.cuda.utilization())
