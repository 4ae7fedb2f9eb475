"""CVPR 2025, Foundation Models for Interactive 3D Biomedical Image Segmentation: where users click.

One click in each step, into the deepest voxel of the largest error; depth is counted in voxels, and beyond the volume
is outside. Of equally deep voxels one is drawn, by the same seed in each step. A perfect result gets no click.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickseg.arrays import Mask
from clickseg.datasets.case import LabelledImage
from clickseg.evaluation.protocols.protocol import User
from clickseg.simulation.clicker import Choice, Clicker, VoxelClick


@dataclass(frozen=True, slots=True)
class Cvpr2025:
    """The protocol.

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
