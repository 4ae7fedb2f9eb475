"""The protocols: how many steps a user makes, and where a user clicks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol as Contract
from typing import TypeAlias

import numpy as np

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Choice, Clicker, VoxelClick, spread
from clickseg.core.arrays import Mask, Triple
from clickseg.core.errors import InputError, UsageError
from clickseg.datasets.case import LabelledImage

MOST_STEPS = 100

_HOT_PERCENTILE = 99.75

User: TypeAlias = Callable[[int, Mask], tuple[VoxelClick, ...]]
"""Returns the clicks of a step, counted from 1, into what was found so far; the same each time it is asked."""


class Protocol(Contract):
    """A protocol."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def steps(self) -> int:
        """How many steps a user makes after the result without clicks."""
        ...

    @property
    def seed(self) -> int:
        """What its random choices begin with."""
        ...

    @property
    def counted_from(self) -> int:
        """The first step that the area under the curve counts."""
        ...

    def user(self, truth: Mask, image: LabelledImage) -> User:
        """Returns a user for one class of a case.

        Args:
            truth: Where the class is.
            image: The first image of the case.

        Raises:
            InputError: The protocol is not for such images.
        """
        ...


class ProtocolName(str, Enum):
    """The protocols by name."""

    CVPR2025 = "cvpr2025"
    SW_FASTEDIT = "sw-fastedit"
    AUTOPET4 = "autopet4"


def make_protocol(name: ProtocolName, steps: int | None, seed: int | None) -> Protocol:
    """Returns a protocol.

    Args:
        name: Which one.
        steps: How many steps a user makes; None for as many as the protocol says.
        seed: What its random choices begin with; None for the protocol's own.

    Raises:
        UsageError: There would be fewer than none, or more steps than anybody makes.
    """
    usual = _PROTOCOLS[name]()
    if steps is not None and not 0 <= steps <= MOST_STEPS:
        raise UsageError(f"clicks: expected 0 to {MOST_STEPS}, got {steps}")
    if seed is not None and seed < 0:
        raise UsageError(f"seed: expected a number of at least 0, got {seed}")
    return replace(usual, steps=usual.steps if steps is None else steps, seed=usual.seed if seed is None else seed)


@dataclass(frozen=True, slots=True)
class Cvpr2025:
    """CVPR 2025, Foundation Models for Interactive 3D Biomedical Image Segmentation.

    One click in each step, into the deepest voxel of the largest error; depth is counted in voxels, and beyond the
    volume is outside. Of equally deep voxels one is drawn, by the same seed in each step. A perfect result gets no
    click.

    Attributes:
        steps: How many clicks a user makes.
        seed: Draws among equally deep voxels.
        counted_from: The area under the curve begins at the first click.
    """

    steps: int = 5
    seed: int = 42
    counted_from: int = 1
    name: str = "cvpr2025"

    def user(self, truth: Mask, image: LabelledImage) -> User:  # noqa: ARG002 - it looks at results only
        """Returns a user for one class of a case."""
        clicker = Clicker(Choice.LARGEST)

        def clicks(_step: int, found: Mask) -> tuple[VoxelClick, ...]:
            click = clicker.largest_error(truth, found, np.random.default_rng(self.seed))
            return () if click is None else (click,)

        return clicks


@dataclass(frozen=True, slots=True)
class SwFastEdit:
    """SW-FastEdit (Hadlich, Marinov et al. 2023).

    In each step one click into what is missed and one into what is falsely found, as far as there is any. Each voxel of
    these errors is as probable: that is what its code does, in which the distance transform has no effect.

    Attributes:
        steps: How many pairs of clicks a user makes.
        seed: Draws the voxels, with the number of the step.
        counted_from: The area under the curve begins with the result without clicks.
    """

    steps: int = 10
    seed: int = 42
    counted_from: int = 0
    name: str = "sw-fastedit"

    def user(self, truth: Mask, image: LabelledImage) -> User:  # noqa: ARG002 - it looks at results only
        """Returns a user for one class of a case."""
        clicker = Clicker(Choice.UNIFORM)

        def clicks(step: int, found: Mask) -> tuple[VoxelClick, ...]:
            return clicker.corrective(truth, found, np.random.default_rng((self.seed, step)))

        return clicks


@dataclass(frozen=True, slots=True)
class AutoPet4:
    """autoPET IV, task 1: clicks that were placed before anything was found; step k gives the first k of both kinds.

    Foreground clicks lie in up to ten lesions, then on their borders. Background clicks lie likewise in what is hottest
    beside them: above the 99.75th percentile of what is no lesion.

    Attributes:
        steps: How many clicks of each kind there are.
        seed: Draws lesions, and voxels of borders.
        counted_from: The area under the curve begins with the result without clicks.
    """

    steps: int = 10
    seed: int = 42
    counted_from: int = 0
    name: str = "autopet4"

    def user(self, truth: Mask, image: LabelledImage) -> User:
        """Returns a user for one class of a case.

        Raises:
            InputError: The image is no PET.
        """
        if image.modality != "PT":
            raise InputError(f"protocol {self.name}: expected PET as the first image, got {image.modality}")
        rng = np.random.default_rng(self.seed)
        foreground = spread(truth, self.steps, rng)
        background = spread(_hot(truth, image), self.steps, rng)

        def clicks(step: int, _found: Mask) -> tuple[VoxelClick, ...]:
            kinds = ((foreground, Polarity.FOREGROUND), (background, Polarity.BACKGROUND))
            return tuple(VoxelClick(voxel, polarity) for voxels, polarity in kinds for voxel in _at(voxels, step))

        return clicks


def _hot(truth: Mask, image: LabelledImage) -> Mask:
    """Returns the hottest voxels that are no lesion."""
    values = image.volume.array
    beside = values[~truth]
    if not beside.size:
        return np.zeros_like(truth)
    hot: Mask = (values > np.percentile(beside, _HOT_PERCENTILE)) & ~truth
    return hot


def _at(voxels: Sequence[Triple], step: int) -> Sequence[Triple]:
    """Returns the voxel of a step, if there is one."""
    return voxels[step - 1 : step]


_PROTOCOLS: Mapping[ProtocolName, type[Cvpr2025] | type[SwFastEdit] | type[AutoPet4]] = {
    ProtocolName.CVPR2025: Cvpr2025,
    ProtocolName.SW_FASTEDIT: SwFastEdit,
    ProtocolName.AUTOPET4: AutoPet4,
}
