"""The processes that train together (``torchrun``), and the device of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed


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
    """
    count, local = int(environ.get("WORLD_SIZE", "1")), int(environ.get("LOCAL_RANK", "0"))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    own = torch.device(f"cuda:{local}" if kind == "cuda" else kind)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if count == 1:
        yield Processes(0, 1, own)
        return
    torch.distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(int(environ["RANK"]), count, own)
    finally:
        torch.distributed.destroy_process_group()
