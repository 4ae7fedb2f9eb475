"""What a runtime must do to run windows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from clickseg.arrays import Values
from clickseg.models.package import Weights


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
