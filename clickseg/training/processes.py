"""The processes that train together (``torchrun``), and the device of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed

from clickseg.core.errors import EngineError
from clickseg.inference.engines.torch_engine import cuda_or_cpu

_PATIENCE = timedelta(days=7)
"""How long processes wait for the first one, which reads the dataset and looks at cases that are held out."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run.

    Attributes:
        rank: The number of this one.
        count: How many there are.
        device: What this one computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0


@contextmanager
def joined(environ: Mapping[str, str], device: str) -> Iterator[Processes]:
    """Joins the processes that ``torchrun`` has started, if it has.

    Args:
        environ: The environment, with what ``torchrun`` says.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        EngineError: There is no such device.
    """
    count, local = int(environ.get("WORLD_SIZE", "1")), int(environ.get("LOCAL_RANK", "0"))
    own = _own_device(cuda_or_cpu(device), local)
    if count == 1:
        yield Processes(0, 1, own)
        return
    torch.distributed.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(int(environ["RANK"]), count, own)
    finally:
        torch.distributed.destroy_process_group()


def _own_device(device: str, local: int) -> torch.device:
    """Returns the device of one of the processes of a machine; each has a GPU of its own, unless one is named."""
    own = torch.device(f"cuda:{local}" if device == "cuda" else device)
    if own.type != "cuda":
        return own
    known = torch.cuda.device_count()
    if (own.index or 0) >= known:
        raise EngineError(f"expected a GPU from cuda:0 to cuda:{known - 1}, got {own}")
    torch.cuda.set_device(own)
    return own
