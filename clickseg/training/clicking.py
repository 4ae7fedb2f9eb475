"""The clicks of a batch: simulated from the predictions, and rasterized into guidance channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Clicker, ClickNoise, SimulatedClick
from clickseg.clicks.simulated.regions import DepthFunction, depth_on_host
from clickseg.core.arrays import LabelArray, Mask
from clickseg.inference.guidance import ball_offsets, voxels_inside
from clickseg.models.spec import GuidanceSpec, ModelSpec
from clickseg.training.config import ClickingConfig, Strategy

T = TypeVar("T")


class BatchClicks:
    """The clicks of the samples of a batch, and their guidance channels."""

    def __init__(
        self,
        spec: ModelSpec,
        config: ClickingConfig,
        truth: Sequence[LabelArray],
        rng: np.random.Generator,
        depth: DepthFunction = depth_on_host,
    ) -> None:
        """Starts without clicks.

        Args:
            spec: The model.
            config: The simulated user.
            truth: The class number of each voxel of each sample [I, J, K].
            rng: The random number generator of all clicks.
            depth: Computes the distance of voxels to the border of an error region.
        """
        self._spec, self._config, self._truth, self._rng, self._depth = spec, config, truth, rng, depth
        count = len(spec.guidance.channels) if spec.guidance else 0
        self._channels = np.zeros((len(truth), count, *truth[0].shape), np.float32)
        self._clicked_distractors = np.zeros((len(truth), 256), bool)

    def guidance_channels(self) -> torch.Tensor:
        """Returns the guidance channels [B, G, I, J, K]."""
        return torch.from_numpy(self._channels.copy())

    def ignored_voxels(self, distractors: Sequence[LabelArray]) -> torch.Tensor:
        """Returns the mask of distractors without a background click [B, I, J, K]; the loss ignores these voxels.

        Args:
            distractors: The number of the distractor of each voxel of each sample [I, J, K], 0 outside distractors.
        """
        return torch.from_numpy(
            np.stack(
                [
                    (numbers > 0) & ~is_clicked[numbers]
                    for numbers, is_clicked in zip(distractors, self._clicked_distractors, strict=True)
                ]
            )
        )

    def add_initial_clicks(self, needs_click: Sequence[bool]) -> None:
        """Adds one foreground click of a random class to each sample in which only clicks define the foreground."""
        for index, truth in enumerate(self._truth):
            present = self._labels_in(truth)
            if needs_click[index] and len(present):
                label = int(self._rng.choice(present))
                voxel = self._make_clicker().choose_voxel(truth == label, self._rng)
                self._rasterize(index, label, SimulatedClick(voxel, Polarity.FOREGROUND))

    def add_round(self, predictions: LabelArray, distractors: Sequence[LabelArray]) -> None:
        """Adds the clicks of one round: for each class the clicks of a random strategy.

        Args:
            predictions: The predicted class of each voxel [B, I, J, K].
            distractors: As for ``ignored_voxels``.
        """
        for index, truth in enumerate(self._truth):
            for label in self._labels_in(truth, predictions[index]):
                for click in self._simulate(truth == label, predictions[index] == label):
                    if click.polarity is Polarity.BACKGROUND:
                        self._clicked_distractors[index, distractors[index][click.voxel]] = True
                    self._rasterize(index, label, self._add_noise(click, truth == label))

    def _labels_in(self, *label_maps: LabelArray) -> list[int]:
        """Returns the classes that are in any of some label maps."""
        numbers = range(1, len(self._spec.classes) + 1)
        return [number for number in numbers if any((labels == number).any() for labels in label_maps)]

    def _add_noise(self, click: SimulatedClick, truth: Mask) -> SimulatedClick:
        noise = ClickNoise(self._config.jitter_mm, self._config.outside_probability)
        return noise.apply(click, truth, self._spec.grid.resolved_spacing_mm, self._rng)

    def _simulate(self, truth: Mask, prediction: Mask) -> tuple[SimulatedClick, ...]:
        """Returns the clicks of one class, before noise is added."""
        clicker = self._make_clicker()
        match _draw_weighted(self._config.strategies, self._rng):
            case Strategy.LARGEST_ERROR:
                click = clicker.largest_error_click(truth, prediction, self._rng)
                return () if click is None else (click,)
            case Strategy.CORRECTIVE:
                return clicker.corrective_clicks(truth, prediction, self._rng)
            case Strategy.PATCH_BASED:
                return clicker.patch_based_clicks(truth, prediction, self._config.patch_size, self._rng)
            case Strategy.NON_CORRECTIVE:
                return clicker.non_corrective_clicks(truth, self._rng)

    def _make_clicker(self) -> Clicker:
        choice = _draw_weighted(self._config.voxel_sampling, self._rng)
        return Clicker(choice, self._spec.grid.resolved_spacing_mm, self._depth)

    def _rasterize(self, index: int, label: int, click: SimulatedClick) -> None:
        guidance = self._spec.guidance
        if guidance is None:
            return
        ball = voxels_inside(np.array(click.voxel) + ball_offsets(guidance.radius_vox), self._channels.shape[2:])
        for channel in _channels_of_click(guidance, self._spec.classes[label - 1].name, click.polarity):
            self._channels[(index, channel, *ball.T)] = 1


def _channels_of_click(guidance: GuidanceSpec, label: str, polarity: Polarity) -> list[int]:
    return [number for number, channel in enumerate(guidance.channels) if (label, polarity) in channel.takes]


def _draw_weighted(weights: Mapping[T, float], rng: np.random.Generator) -> T:
    """Draws a key with a probability that is proportional to its weight."""
    keys = list(weights)
    values = np.array([weights[key] for key in keys], dtype=np.float64)
    return keys[int(rng.choice(len(keys), p=values / values.sum()))]
