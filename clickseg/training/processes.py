"""The processes of a distributed training run (``torchrun``), and the device of each process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed

from clickseg.core.errors import EngineError
from clickseg.inference.engines.torch_engine import resolve_device

_TIMEOUT = timedelta(days=7)
"""How long processes wait for the process of rank 0, which reads the dataset and validates."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: The rank of this process.
        world_size: The number of processes.
        device: The device of this process.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process of rank 0, which writes files and reports progress."""
        return self.rank == 0


@contextmanager
def join_processes(environ: Mapping[str, str], device: str) -> Iterator[Processes]:
    """Joins the process group that ``torchrun`` started; without ``torchrun`` the run has one process.

    Args:
        environ: The environment, with the variables of ``torchrun``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        EngineError: The device does not exist.
    """
    world_size, local_rank = int(environ.get("WORLD_SIZE", "1")), int(environ.get("LOCAL_RANK", "0"))
    local_device = _local_device(resolve_device(device), local_rank)
    if world_size == 1:
        yield Processes(0, 1, local_device)
        return
    torch.distributed.init_process_group("nccl" if local_device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield Processes(int(environ["RANK"]), world_size, local_device)
    finally:
        torch.distributed.destroy_process_group()


def _local_device(device: str, local_rank: int) -> torch.device:
    """Returns the device of a process; each process of a machine has its own GPU, unless the user names one."""
    local_device = torch.device(f"cuda:{local_rank}" if device == "cuda" else device)
    if local_device.type != "cuda":
        return local_device
    count = torch.cuda.device_count()
    if (local_device.index or 0) >= count:
        raise EngineError(f"device: expected a GPU from cuda:0 to cuda:{count - 1}, got {local_device}")
    torch.cuda.set_device(local_device)
    return local_device
