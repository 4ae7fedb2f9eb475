"""Test-time mirroring: a network that is run on each window and on its mirror images, as in nnU-Net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from clickseg.core.arrays import Float32Array
from clickseg.inference.engines.engine import Engine
from clickseg.models.package import WeightsFile

_FIRST_SPATIAL_AXIS = 2
"""The axis I of a batch [B, C, I, J, K]."""


class MirroredEngine:
    """A network whose logits are the mean over all combinations of flips: with three axes, it is run 8 times.

    All channels of a window are flipped together, clicks and masks too, and the logits are flipped back.
    """

    def __init__(self, engine: Engine, axes: Sequence[int]) -> None:
        """Mirrors a network.

        Args:
            engine: The network; it is closed with this engine.
            axes: The axes of the model grid that are flipped: 0, 1, 2 for I, J, K. Empty if mirroring is switched off.
        """
        self._engine, self._axes = engine, tuple(axes)
        batch_axes = [_FIRST_SPATIAL_AXIS + axis for axis in axes]
        self._flips = [flip for count in range(1, len(axes) + 1) for flip in combinations(batch_axes, count)]

    @property
    def device(self) -> str:
        """The device that runs the network."""
        return self._engine.device

    @property
    def precision(self) -> str:
        """The number type of the computation; logits are added in f32."""
        return self._engine.precision

    @property
    def batch(self) -> int:
        """The batch size of each run of the network."""
        return self._engine.batch

    @property
    def weights(self) -> tuple[WeightsFile, ...]:
        """The files that the network was loaded from."""
        return self._engine.weights

    def infer(self, batch: Float32Array) -> Float32Array:
        """Returns the mean logits [B, O, I, J, K] of windows [B, C, I, J, K] and of their mirror images."""
        logits = self._engine.infer(batch)
        if not self._flips:
            return logits
        total = logits.copy()  # the next run may overwrite the array
        for flip in self._flips:
            total += np.flip(self._engine.infer(np.flip(batch, flip).copy()), flip)  # networks need contiguous arrays
        total /= np.float32(1 + len(self._flips))
        return total

    def with_half_batch(self) -> MirroredEngine | None:
        """Returns the same network with half the batch size; None if the batch size is 1."""
        half = self._engine.with_half_batch()
        return None if half is None else MirroredEngine(half, self._axes)

    def describe(self) -> Mapping[str, str | int]:
        """Returns the engine fingerprint, with the mirrored axes."""
        return {**self._engine.describe(), "mirroring": " ".join(str(axis) for axis in self._axes) or "off"}

    def close(self) -> None:
        """Frees the memory of the network; the engine cannot be used afterwards."""
        self._engine.close()
