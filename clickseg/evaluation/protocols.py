"""Evaluation protocols: how many interaction steps a simulated user makes, and where the user clicks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol as Contract
from typing import TypeAlias

import numpy as np

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Clicker, SimulatedClick, VoxelChoice, spread_voxels
from clickseg.core.arrays import Mask, Triple
from clickseg.core.errors import InputError, UsageError
from clickseg.datasets.case import LabelledImage

MAX_STEPS = 100

_HOT_PERCENTILE = 99.75

SimulatedUser: TypeAlias = Callable[[int, Mask], tuple[SimulatedClick, ...]]
"""Returns the clicks of a step (from 1), given the current prediction; deterministic."""


class Protocol(Contract):
    """An evaluation protocol."""

    @property
    def name(self) -> str:
        """The name of the protocol."""
        ...

    @property
    def steps(self) -> int:
        """The number of interaction steps after the prediction without clicks."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the random choices."""
        ...

    @property
    def auc_from_step(self) -> int:
        """The first step that the area under the curve (AUC) includes."""
        ...

    def user(self, truth: Mask, image: LabelledImage) -> SimulatedUser:
        """Returns a simulated user for one class of a case.

        Args:
            truth: The ground truth of the class.
            image: The first image of the case.

        Raises:
            InputError: The protocol does not support the modality of the image.
        """
        ...


class ProtocolName(str, Enum):
    """The names of the protocols."""

    CVPR2025 = "cvpr2025"
    SW_FASTEDIT = "sw-fastedit"
    AUTOPET4 = "autopet4"


def make_protocol(name: ProtocolName, steps: int | None, seed: int | None) -> Protocol:
    """Returns a protocol.

    Args:
        name: The name of the protocol.
        steps: The number of interaction steps; None for the default of the protocol.
        seed: The seed of the random choices; None for the default of the protocol.

    Raises:
        UsageError: The number of steps is not from 0 to ``MAX_STEPS``, or the seed is negative.
    """
    default = _PROTOCOLS[name]()
    if steps is not None and not 0 <= steps <= MAX_STEPS:
        raise UsageError(f"steps: expected 0 to {MAX_STEPS}, got {steps}")
    if seed is not None and seed < 0:
        raise UsageError(f"seed: expected a number of at least 0, got {seed}")
    return replace(
        default, steps=default.steps if steps is None else steps, seed=default.seed if seed is None else seed
    )


@dataclass(frozen=True, slots=True)
class Cvpr2025:
    """CVPR 2025, Foundation Models for Interactive 3D Biomedical Image Segmentation.

    Each step has one click, at the deepest voxel of the largest error component. Depth is the distance in voxels to
    the nearest voxel outside of the component; voxels beyond the volume are outside. Among equally deep voxels one is
    drawn, with the same seed in each step. A perfect prediction gets no click.

    Attributes:
        steps: The number of clicks.
        seed: The seed of the draw among equally deep voxels.
        auc_from_step: The AUC begins at the first click.
    """

    steps: int = 5
    seed: int = 42
    auc_from_step: int = 1
    name: str = "cvpr2025"

    def user(self, truth: Mask, image: LabelledImage) -> SimulatedUser:  # noqa: ARG002 - the user needs the prediction only
        """Returns a simulated user for one class of a case."""
        clicker = Clicker(VoxelChoice.LARGEST)

        def clicks(_step: int, prediction: Mask) -> tuple[SimulatedClick, ...]:
            click = clicker.largest_error_click(truth, prediction, np.random.default_rng(self.seed))
            return () if click is None else (click,)

        return clicks


@dataclass(frozen=True, slots=True)
class SwFastEdit:
    """SW-FastEdit (Hadlich, Marinov et al. 2023).

    Each step has one click in the false negative voxels and one in the false positive voxels, if there are any. All
    voxels of these errors have the same probability, as in the original code, where the distance transform has no
    effect.

    Attributes:
        steps: The number of pairs of clicks.
        seed: The seed of the drawn voxels, together with the number of the step.
        auc_from_step: The AUC begins with the prediction without clicks.
    """

    steps: int = 10
    seed: int = 42
    auc_from_step: int = 0
    name: str = "sw-fastedit"

    def user(self, truth: Mask, image: LabelledImage) -> SimulatedUser:  # noqa: ARG002 - the user needs the prediction only
        """Returns a simulated user for one class of a case."""
        clicker = Clicker(VoxelChoice.UNIFORM)

        def clicks(step: int, prediction: Mask) -> tuple[SimulatedClick, ...]:
            return clicker.corrective_clicks(truth, prediction, np.random.default_rng((self.seed, step)))

        return clicks


@dataclass(frozen=True, slots=True)
class AutoPet4:
    """autoPET IV, task 1: the clicks do not depend on the prediction; after step k, the first k of each kind are set.

    Foreground clicks are at the centres of up to ten lesions, then on their borders. Background clicks are placed in
    the same way in the hottest voxels outside of the lesions: those above the 99.75th percentile of the background.

    Attributes:
        steps: The number of clicks of each kind.
        seed: The seed of the drawn lesions and border voxels.
        auc_from_step: The AUC begins with the prediction without clicks.
    """

    steps: int = 10
    seed: int = 42
    auc_from_step: int = 0
    name: str = "autopet4"

    def user(self, truth: Mask, image: LabelledImage) -> SimulatedUser:
        """Returns a simulated user for one class of a case.

        Raises:
            InputError: The image is not a PET image.
        """
        if image.modality != "PT":
            raise InputError(f"protocol {self.name}: expected PET as the first image, got {image.modality}")
        rng = np.random.default_rng(self.seed)
        foreground = spread_voxels(truth, self.steps, rng)
        background = spread_voxels(_hottest_background(truth, image), self.steps, rng)

        def clicks(step: int, _prediction: Mask) -> tuple[SimulatedClick, ...]:
            kinds = ((foreground, Polarity.FOREGROUND), (background, Polarity.BACKGROUND))
            return tuple(
                SimulatedClick(voxel, polarity) for voxels, polarity in kinds for voxel in _voxels_of_step(voxels, step)
            )

        return clicks


def _hottest_background(truth: Mask, image: LabelledImage) -> Mask:
    """Returns the background voxels with the highest uptake."""
    values = image.volume.array
    background = values[~truth]
    if not background.size:
        return np.zeros_like(truth)
    hottest: Mask = (values > np.percentile(background, _HOT_PERCENTILE)) & ~truth
    return hottest


def _voxels_of_step(voxels: Sequence[Triple], step: int) -> Sequence[Triple]:
    """Returns the voxel of a step (from 1) as a sequence of one, or an empty one if there are fewer voxels."""
    return voxels[step - 1 : step]


_PROTOCOLS: Mapping[ProtocolName, type[Cvpr2025] | type[SwFastEdit] | type[AutoPet4]] = {
    ProtocolName.CVPR2025: Cvpr2025,
    ProtocolName.SW_FASTEDIT: SwFastEdit,
    ProtocolName.AUTOPET4: AutoPet4,
}
