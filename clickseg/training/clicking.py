"""The clicks of a batch: simulated from what a network found, and drawn into channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Clicker, Noise, VoxelClick
from clickseg.clicks.simulated.regions import Depth, depth_on_host
from clickseg.core.arrays import Mask, Numbers
from clickseg.inference.guidance import ball_offsets, inside
from clickseg.models.spec import GuidanceSpec, ModelSpec
from clickseg.training.config import Clicking, Strategy

T = TypeVar("T")


class BatchClicks:
    """The clicks of the samples of a batch, and the guidance channels that show them."""

    def __init__(
        self,
        spec: ModelSpec,
        how: Clicking,
        truth: Sequence[Numbers],
        rng: np.random.Generator,
        depth: Depth = depth_on_host,
    ) -> None:
        """Begins without clicks.

        Args:
            spec: The model.
            how: How the simulated user clicks.
            truth: The classes of each sample [I, J, K].
            rng: Draws every choice.
            depth: Measures how deep voxels lie in what is clicked.
        """
        self._spec, self._how, self._truth, self._rng, self._depth = spec, how, truth, rng, depth
        count = len(spec.guidance.channels) if spec.guidance else 0
        self._drawn = np.zeros((len(truth), count, *truth[0].shape), np.float32)
        self._clicked = np.zeros((len(truth), 256), bool)

    def channels(self) -> torch.Tensor:
        """Returns the guidance channels [B, G, I, J, K]."""
        return torch.from_numpy(self._drawn.copy())

    def unsaid(self, objects: Sequence[Numbers]) -> torch.Tensor:
        """Returns where things are that nobody has said yet are not meant [B, I, J, K].

        Args:
            objects: Their numbers in each sample [I, J, K], 0 where there is none.
        """
        return torch.from_numpy(
            np.stack([(each > 0) & ~clicked[each] for each, clicked in zip(objects, self._clicked, strict=True)])
        )

    def add_first(self, samples: Sequence[bool]) -> None:
        """Adds a click into one of the classes of each sample of which only clicks say what is meant."""
        for index, truth in enumerate(self._truth):
            present = np.unique(truth[truth > 0])
            if samples[index] and len(present):
                label = int(self._rng.choice(present))
                voxel = self._clicker().inside(truth == label, self._rng)
                self._draw(index, label, VoxelClick(voxel, Polarity.FOREGROUND))

    def add(self, found: Numbers, objects: Sequence[Numbers]) -> None:
        """Adds clicks for what was found.

        Args:
            found: The classes that the network found [B, I, J, K].
            objects: As for ``unsaid``.
        """
        for index, truth in enumerate(self._truth):
            for label in self._labels(truth, found[index]):
                for meant in self._meant(truth == label, found[index] == label):
                    if meant.polarity is Polarity.BACKGROUND:
                        self._clicked[index, objects[index][meant.voxel]] = True
                    self._draw(index, label, self._noisy(meant, truth == label))

    def _labels(self, truth: Numbers, found: Numbers) -> list[int]:
        return [int(label) for label in np.union1d(np.unique(truth), np.unique(found)) if label]

    def _noisy(self, click: VoxelClick, truth: Mask) -> VoxelClick:
        noise = Noise(self._how.jitter_mm, self._how.outside)
        return noise.applied(click, truth, self._spec.grid.spacing_mm, self._rng)

    def _meant(self, truth: Mask, found: Mask) -> tuple[VoxelClick, ...]:
        clicker = self._clicker()
        match _drawn(self._how.strategies, self._rng):
            case Strategy.ERROR:
                click = clicker.largest_error(truth, found, self._rng)
                return () if click is None else (click,)
            case Strategy.CORRECTIVE:
                return clicker.corrective(truth, found, self._rng)
            case Strategy.PATCH:
                return clicker.patch_based(truth, found, self._how.patch, self._rng)
            case Strategy.ANY:
                return clicker.non_corrective(truth, self._rng)

    def _clicker(self) -> Clicker:
        return Clicker(_drawn(self._how.choices, self._rng), self._spec.grid.spacing_mm, self._depth)

    def _draw(self, index: int, label: int, click: VoxelClick) -> None:
        guidance = self._spec.guidance
        if guidance is None:
            return
        ball = inside(np.array(click.voxel) + ball_offsets(guidance.radius_vox), self._drawn.shape[2:])
        for channel in _taking(guidance, self._spec.classes[label - 1].name, click.polarity):
            self._drawn[(index, channel, *ball.T)] = 1


def _taking(guidance: GuidanceSpec, label: str, polarity: Polarity) -> list[int]:
    return [number for number, channel in enumerate(guidance.channels) if (label, polarity) in channel.takes]


def _drawn(weights: Mapping[T, float], rng: np.random.Generator) -> T:
    """Returns one of some things, drawn by their weights."""
    things = list(weights)
    shares = np.array([weights[each] for each in things], dtype=np.float64)
    return things[int(rng.choice(len(things), p=shares / shares.sum()))]
