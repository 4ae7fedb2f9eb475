"""What a runtime must do to run windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from clickseg.core.arrays import Values
from clickseg.models.package import Weights
from clickseg.models.spec import ModelSpec


class Precision(str, Enum):
    """What a network computes in; ``auto`` is the fastest that the device computes in."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"
    F16 = "f16"
    INT8 = "int8"


class Engine(Protocol):
    """A network, loaded and ready."""

    @property
    def device(self) -> str:
        """Where it runs, such as ``cpu`` or ``cuda``."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in, such as ``f32`` or ``bf16``."""
        ...

    @property
    def batch(self) -> int:
        """How many windows it is given at once: always as many, since another number changes the logits."""
        ...

    @property
    def weights(self) -> tuple[Weights, ...]:
        """The files that it was made from; the first one holds the weights."""
        ...

    def infer(self, batch: Values) -> Values:
        """Returns logits [B, K, I, J, K] of windows [B, C, I, J, K], f32.

        Where it runs on CUDA, an array of CuPy's is taken as it is, and the logits are one too.

        Raises:
            DeviceMemoryError: The device has too little memory for as many windows.
            EngineError: The runtime failed otherwise.
        """
        ...

    def smaller(self) -> Engine | None:
        """Returns the same network for half as many windows at once; None where it is one already."""
        ...

    def describe(self) -> Mapping[str, str | int]:
        """Returns the engine fingerprint: all on which the bits of its results depend."""
        ...

    def close(self) -> None:
        """Frees the network's memory; the engine runs nothing afterwards."""
        ...


_VOXELS = 128**3
"""What occupies a GPU, and fits into the memory of a small one: a window of 128 x 128 x 128."""

_MOST = 4
"""Short batches are filled up: with more, much of what is run in small layers of windows would be for nothing."""


def windows_at_once(spec: ModelSpec) -> int:
    """Returns the batch for a GPU: a power of two, by the window alone.

    It does not depend on how much memory is free, since another batch changes the logits in their last bits.
    """
    fitting = _VOXELS // math.prod(spec.window.roi)
    return 1 << min(_MOST, max(fitting, 1)).bit_length() - 1
