"""The optional settings of a session."""

from __future__ import annotations

from dataclasses import dataclass

from clickseg.core.memory import Memory
from clickseg.core.progress import Progress, no_progress
from clickseg.dicom.predecessor import Predecessor
from clickseg.inference.kernels import KernelChoice


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The optional settings of a session.

    Attributes:
        memory: The memory that the process may use; None for the memory of the machine.
        kernels: The loops over voxels; None for loops that are not cached on disk.
        postprocessing: Whether the model's postprocessing is applied.
        progress: Called after each window of the background run; it must not call the session.
        predecessors: Results of earlier runs for the series, sorted from newest to oldest. The result of the session
            refers to them.
    """

    memory: Memory | None = None
    kernels: KernelChoice | None = None
    postprocessing: bool = True
    progress: Progress = no_progress
    predecessors: tuple[Predecessor, ...] = ()
