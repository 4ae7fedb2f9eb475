"""What the network sees: image channels, and clicks and masks that are put into a window when it is run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from clickseg.arrays import Indices, Mask, Values
from clickseg.boxes import Box, Triple
from clickseg.inference.device import HOST, Device
from clickseg.inference.guidance import inside
from clickseg.inference.intensity import Scaler
from clickseg.inference.windows import Window


class Image(Protocol):
    """A volume on the model grid."""

    @property
    def shape(self) -> Triple:
        """The model grid [I, J, K]."""
        ...

    def part(self, box: Box) -> Values:
        """Returns a part of it, float32 [I, J, K]: the same values, whatever the part."""
        ...

    def on(self, device: Device) -> Image:
        """Returns the same volume on a device."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A volume in memory.

    Attributes:
        array: Its values [I, J, K].
    """

    array: Values

    @property
    def shape(self) -> Triple:
        """The model grid [I, J, K]."""
        i, j, k = self.array.shape
        return i, j, k

    def part(self, box: Box) -> Values:
        """Returns a part of it."""
        return self.array[box]

    def on(self, device: Device) -> Whole:
        """Returns the same volume on a device."""
        return Whole(device.put(self.array))


@dataclass(frozen=True, slots=True)
class Scaled:
    """A volume whose values are scaled as the model wants them, when they are asked for.

    Attributes:
        image: The volume in its unit.
        scaler: Scales values.
    """

    image: Image
    scaler: Scaler

    @property
    def shape(self) -> Triple:
        """The model grid [I, J, K]."""
        return self.image.shape

    def part(self, box: Box) -> Values:
        """Returns a part of it."""
        return self.scaler(self.image.part(box))

    def on(self, device: Device) -> Scaled:
        """Returns the same volume on a device."""
        return Scaled(self.image.on(device), self.scaler)


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The input of a network on the model grid.

    Attributes:
        images: Image channels, scaled.
        balls: For each guidance channel the voxels [N, 3] that are 1; on the host.
        masks: For each mask channel the voxels [I, J, K] that are 1; on the host.
        device: Where the images are.
    """

    images: tuple[Image, ...]
    balls: tuple[Indices, ...]
    masks: tuple[Mask, ...] = ()
    device: Device = HOST

    @property
    def shape(self) -> Triple:
        """The model grid [I, J, K]."""
        return self.images[0].shape

    def on(self, device: Device) -> ModelInput:
        """Returns the same input on a device."""
        return replace(self, images=tuple(image.on(device) for image in self.images), device=device)

    def part(self, box: Box) -> Values:
        """Returns a part of the image channels [C, I, J, K]."""
        return np.stack([image.part(box) for image in self.images])

    def window(self, window: Window, images: Values) -> Values:
        """Returns the channels of one window [C + G + M, I, J, K]; what lies outside the volume is 0.

        Args:
            window: The window.
            images: The part of the image channels [C, I, J, K] that it covers.
        """
        given = len(images) + len(self.balls)
        channels = self.device.zeros((given + len(self.masks), *window.roi), np.float32)
        channels[(slice(len(images)), *window.part)] = images
        for number, voxels in enumerate(self.balls, len(images)):
            drawn = inside(voxels - window.start, window.roi)
            if len(drawn):
                i, j, k = self.device.put(drawn.T)
                channels[number][i, j, k] = 1
        for number, mask in enumerate(self.masks, given):
            channels[(number, *window.part)] = self.device.put(mask[window.place])
        return channels
