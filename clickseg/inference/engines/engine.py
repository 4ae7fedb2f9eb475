"""The interface of inference runtimes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from clickseg.core.arrays import Float32Array
from clickseg.models.package import WeightsFile
from clickseg.models.spec import ModelSpec


class Precision(str, Enum):
    """The number type of the computation; ``auto`` is the fastest that the device supports."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"
    F16 = "f16"
    INT8 = "int8"


class Engine(Protocol):
    """A network that is loaded into a runtime."""

    @property
    def device(self) -> str:
        """The device that runs the network, such as ``cpu`` or ``cuda``."""
        ...

    @property
    def precision(self) -> str:
        """The number type of the computation, such as ``f32`` or ``bf16``."""
        ...

    @property
    def batch(self) -> int:
        """The batch size: it is the same in each call, because another size changes the logits in their last bits."""
        ...

    @property
    def weights(self) -> tuple[WeightsFile, ...]:
        """The files that the network was loaded from; the first contains the weights."""
        ...

    def infer(self, batch: Float32Array) -> Float32Array:
        """Returns the logits of a batch of windows, f32.

        Windows are [B, C, I, J, K], with C input channels; logits are [B, O, I, J, K], with O output channels.

        An engine on CUDA also accepts a CuPy array, and then returns a CuPy array.

        Raises:
            DeviceMemoryError: The device is out of memory with this batch size.
            EngineError: The runtime failed for another reason.
        """
        ...

    def with_half_batch(self) -> Engine | None:
        """Returns the same network with half the batch size; None if the batch size is 1."""
        ...

    def describe(self) -> Mapping[str, str | int]:
        """Returns the engine fingerprint: everything that the bits of the logits depend on."""
        ...

    def close(self) -> None:
        """Frees the memory of the network; the engine cannot be used afterwards."""
        ...


_BATCH_VOXELS = 128**3
"""The voxels of a batch: enough for a large GPU, and small enough for the memory of a small GPU."""

_MAX_BATCH = 4
"""Incomplete batches are padded with copies. So large batches would waste time if a layer has few windows."""


def gpu_batch_size(spec: ModelSpec) -> int:
    """Returns the batch size for a GPU: a power of two that depends only on the window size.

    It does not depend on the free memory, because another batch size changes the logits in their last bits.
    """
    fitting = _BATCH_VOXELS // math.prod(spec.window.roi)
    return 1 << min(_MAX_BATCH, max(fitting, 1)).bit_length() - 1
