"""A network that takes almost no time, and a CT model that it is the network of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clickseg.core.arrays import Triple, Values
from clickseg.models.spec import ModelSpec

_ANSWERS = 3


@dataclass(frozen=True, slots=True)
class Answers:
    """A network that says one of some logits, which of them by the first voxel of the window.

    Attributes:
        logits: What it may say, [1, K, I, J, K] each.
        said: Where it says it: MONAI multiplies it in place, and a network writes to the same place each time.
    """

    logits: tuple[Values, ...]
    said: Values
    batch = 1
    device = "cpu"
    precision = "f32"
    weights = ()

    @classmethod
    def of(cls, channels: int, roi: Triple) -> Answers:
        """Returns random ones."""
        rng = np.random.default_rng(1)
        logits = tuple(rng.random((1, channels, *roi), dtype=np.float32) for _ in range(_ANSWERS))
        return cls(logits, logits[0].copy())  # its memory is there before any is counted

    def infer(self, batch: Values) -> Values:
        """Returns logits of a window; they are the caller's until the next call."""
        np.copyto(self.said, self.logits[int(batch[0, 0, 0, 0, 0]) % len(self.logits)])
        return self.said

    def smaller(self) -> None:
        """Returns nothing: it is given one window at a time."""
        return

    def describe(self) -> Mapping[str, str | int]:
        """Returns nothing that matters."""
        return {}

    def close(self) -> None:
        """Has nothing to free."""


def ct_spec(channels: int, roi: Triple, spacing_mm: float) -> ModelSpec:
    """Returns a CT model of classes that exclude each other, the first channel the background."""
    code = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
    return ModelSpec.model_validate(
        {
            "inputs": [{"name": "ct", "modality": "CT", "unit": "HU", "scaling": {"kind": "zscore"}}],
            "grid": {"spacing_mm": [spacing_mm] * 3, "orientation": "RAS"},
            "window": {"roi": roi, "overlap": 0.5},
            "activation": "softmax",
            "output_channels": channels,
            "classes": [
                {"name": f"c{n}", "channel": n, "colour": [n, 0, 0], "category": code, "type": code}
                for n in range(1, channels)
            ],
        }
    )
