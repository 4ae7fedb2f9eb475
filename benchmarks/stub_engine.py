"""An engine without a network, which takes almost no time, and the specification of a CT model for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clickseg.core.arrays import Float32Array, Triple
from clickseg.models.spec import ModelSpec

_LOGITS_COUNT = 3


@dataclass(frozen=True, slots=True)
class StubEngine:
    """An engine that returns one of several stored logits; the first voxel of the window selects which.

    Attributes:
        logits: The logits that can be returned, each [1, C, I, J, K].
        output: The array that contains the returned logits. As a network, the engine always writes to the same array,
            and MONAI multiplies it in place.
    """

    logits: tuple[Float32Array, ...]
    output: Float32Array
    batch = 1
    device = "cpu"
    precision = "f32"
    weights = ()

    @classmethod
    def random(cls, channels: int, roi: Triple) -> StubEngine:
        """Returns an engine with random logits."""
        rng = np.random.default_rng(1)
        logits = tuple(rng.random((1, channels, *roi), dtype=np.float32) for _ in range(_LOGITS_COUNT))
        return cls(logits, logits[0].copy())  # allocates the output before memory is measured

    def infer(self, batch: Float32Array) -> Float32Array:
        """Returns the logits of a window [1, C, I, J, K]; the next call overwrites them."""
        np.copyto(self.output, self.logits[int(batch[0, 0, 0, 0, 0]) % len(self.logits)])
        return self.output

    def with_half_batch(self) -> None:
        """Returns None: the batch size is 1 already."""
        return

    def describe(self) -> Mapping[str, str | int]:
        """Returns an empty description."""
        return {}

    def close(self) -> None:
        """Does nothing: there are no resources to free."""


def ct_spec(channels: int, roi: Triple, spacing_mm: float) -> ModelSpec:
    """Returns the specification of a CT model with exclusive classes; the first channel is the background."""
    code = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
    return ModelSpec.model_validate(
        {
            "inputs": [{"name": "ct", "modality": "CT", "unit": "HU", "scaling": {"kind": "zscore"}}],
            "grid": {"spacing_mm": [spacing_mm] * 3, "orientation": "RAS"},
            "window": {"roi": roi, "overlap": 0.5},
            "activation": "softmax",
            "output_channels": channels,
            "classes": [
                {"name": f"c{index}", "channel": index, "colour": [index, 0, 0], "category": code, "type": code}
                for index in range(1, channels)
            ],
        }
    )
