"""What the network sees: image channels, and clicks and masks that are put into a window when it is run.

Images are made layer by layer of windows: what the layer before shared with it is moved on, and not made again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from clickseg.core.arrays import Box, Indices, Mask, Triple, Values, around, cut, within
from clickseg.core.device import HOST, Device
from clickseg.inference.guidance import inside
from clickseg.inference.intensity import Scaler
from clickseg.inference.windows import Window

_PLANES_PER_STEP = 16
"""How many planes are made at once: what that takes beside them does not grow with the window."""

_EMPTY_BOX: Box = (slice(0, 0), slice(0, 0), slice(0, 0))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The input of a network on the model grid.

    Attributes:
        images: Image channels, scaled.
        balls: For each guidance channel the voxels [N, 3] that are 1; on the host.
        masks: For each mask channel the voxels [I, J, K] that are 1; on the host.
        device: Where the images are.
    """

    images: tuple[GridImage, ...]
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
        channels[(slice(len(images)), *window.local_box)] = images
        for number, voxels in enumerate(self.balls, len(images)):
            drawn = inside(voxels - window.start, window.roi)
            if len(drawn):
                i, j, k = self.device.put(drawn.T)
                channels[number][i, j, k] = 1
        for number, mask in enumerate(self.masks, given):
            channels[(number, *window.local_box)] = self.device.put(mask[window.place])
        return channels


class GridImage(Protocol):
    """A volume on the model grid."""

    @property
    def shape(self) -> Triple:
        """The model grid [I, J, K]."""
        ...

    def part(self, box: Box) -> Values:
        """Returns a part of it, float32 [I, J, K]: the same values, whatever the part."""
        ...

    def on(self, device: Device) -> GridImage:
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

    image: GridImage
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


class ImageBuffer:
    """A part of the image channels, on the device that they are on."""

    def __init__(self, inputs: ModelInput, axis: int) -> None:
        """Holds nothing yet.

        Args:
            inputs: The images.
            axis: The axis [I, J, K] along which one layer follows another.
        """
        self._inputs, self._axis = inputs, axis
        self._place = _EMPTY_BOX
        self._held: Values | None = None

    def get(self, box: Box) -> Values:
        """Returns the images in a box [C, I, J, K]; they are the holder's until the next call."""
        held = self.load(box)
        return held[(slice(None), *within(box, self._place))]

    def load(self, box: Box) -> Values:
        """Makes ready what windows that lie in a box will ask for; returns what is held, that and maybe more."""
        if self._held is not None and around([box, self._place]) == self._place:
            return self._held
        before, was = self._held, self._place
        shape = (len(self._inputs.images), *(part.stop - part.start for part in box))
        fits = before is not None and before.shape == shape
        held = before if before is not None and fits else self._inputs.device.zeros(shape, np.float32)
        self._held, self._place = held, _EMPTY_BOX  # what is interrupted holds nothing
        common = 0 if before is None else self._keep_shared_planes(before, was, held, box)
        for first in range(box[self._axis].start + common, box[self._axis].stop, _PLANES_PER_STEP):
            some = cut(box, self._axis, slice(first, min(first + _PLANES_PER_STEP, box[self._axis].stop)))
            held[(slice(None), *within(some, box))] = self._inputs.part(some)
        self._place = box
        return held

    def _keep_shared_planes(self, before: Values, was: Box, held: Values, box: Box) -> int:
        """Moves the planes that two boxes share to the front, and returns how many they are."""
        old, new = was[self._axis], box[self._axis]
        follows = old.start <= new.start < old.stop <= new.stop
        if not follows or cut(was, self._axis, new) != box:
            return 0
        source, target = (np.moveaxis(array, 1 + self._axis, 0) for array in (before, held))
        common: int = old.stop - new.start
        for first in range(0, common, _PLANES_PER_STEP):
            stop, shift = min(first + _PLANES_PER_STEP, common), new.start - old.start
            target[first:stop] = source[first + shift : stop + shift]
        return common
