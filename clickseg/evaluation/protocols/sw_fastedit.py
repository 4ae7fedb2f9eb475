"""SW-FastEdit (Hadlich, Marinov et al. 2023): where users click.

In each step one click into what is missed and one into what is falsely found, as far as there is any. Each voxel of
these errors is as probable: that is what its code does, in which the distance transform has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickseg.arrays import Mask
from clickseg.datasets.case import LabelledImage
from clickseg.evaluation.protocols.protocol import User
from clickseg.simulation.clicker import Choice, Clicker, VoxelClick


@dataclass(frozen=True, slots=True)
class SwFastEdit:
    """The protocol.

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
