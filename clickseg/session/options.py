"""What a session can be told beside its series, model and folder."""

from __future__ import annotations

from dataclasses import dataclass

from clickseg.core.memory import Memory
from clickseg.core.progress import Progress, no_progress
from clickseg.dicom.predecessor import EarlierResult
from clickseg.inference.kernels import KernelChoice


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session can be told beside its series, model and folder.

    Attributes:
        memory: What the process may take; None for what the machine has.
        kernels: The loops over voxels; None for a choice that caches nothing.
        postprocessing: Whether the model's postprocessing is applied.
        progress: Told after each window of the run in the background; it must not call the session.
        earlier: Results of earlier runs for the series, the newest first; ``result`` refers to them.
    """

    memory: Memory | None = None
    kernels: KernelChoice | None = None
    postprocessing: bool = True
    progress: Progress = no_progress
    earlier: tuple[EarlierResult, ...] = ()
