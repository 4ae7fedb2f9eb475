"""What the network sees: image channels, and clicks that are drawn into a window when it is run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickseg.arrays import Indices, Values
from clickseg.inference.guidance import inside
from clickseg.inference.windows import Triple, Window


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The input of a network on the model grid.

    Attributes:
        images: Image channels [C, I, J, K], float32, scaled.
        balls: For each guidance channel the voxels [N, 3] that are 1.
    """

    images: Values
    balls: tuple[Indices, ...]

    @property
    def shape(self) -> Triple:
        """The model grid [I, J, K]."""
        i, j, k = self.images.shape[1:]
        return i, j, k

    def window(self, window: Window) -> Values:
        """Returns the channels of one window [C + G, I, J, K]; what lies outside the volume is 0."""
        channels = np.zeros((len(self.images) + len(self.balls), *window.roi), dtype=np.float32)
        channels[(slice(len(self.images)), *window.part)] = self.images[(slice(None), *window.place)]
        for channel, voxels in zip(channels[len(self.images) :], self.balls, strict=True):
            channel[tuple(inside(voxels - window.start, window.roi).T)] = 1
        return channels
