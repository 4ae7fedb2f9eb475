"""The input of the network: image channels, and clicks and masks that are rasterized into each window when it is run.

Images are computed for one layer of windows after another. Planes that two layers share are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from clickseg.core.arrays import (
    Box,
    Float32Array,
    IndexArray,
    Mask,
    Triple,
    bounding_box,
    full_box,
    replace_axis_range,
    to_local_box,
)
from clickseg.core.device import HOST, Device
from clickseg.inference.guidance import voxels_inside
from clickseg.inference.intensity import Scaler
from clickseg.inference.windows import Window

_PLANES_PER_STEP = 16
"""The number of planes that are computed at once, so that temporary memory does not grow with the window."""

_EMPTY_BOX: Box = (slice(0, 0), slice(0, 0), slice(0, 0))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The input of a network on the model grid.

    Attributes:
        images: Image channels, scaled.
        click_voxels: The voxels [N, 3] with value 1 of each guidance channel, on the host.
        masks: The mask [I, J, K] of each mask channel, on the host.
        device: The device of the images.
    """

    images: tuple[GridImage, ...]
    click_voxels: tuple[IndexArray, ...]
    masks: tuple[Mask, ...] = ()
    device: Device = HOST

    @property
    def shape(self) -> Triple:
        """The shape of the model grid [I, J, K]."""
        return self.images[0].shape

    @property
    def _unscaled_images(self) -> dict[int, GridImage]:
        """The images of all channels by identity, each once."""
        return {id(image): image for image in map(_unscaled, self.images)}

    def to_device(self, device: Device) -> ModelInput:
        """Returns the same input with its images on a device; channels of one image share it."""
        moved = {key: image.to_device(device) for key, image in self._unscaled_images.items()}
        images = (_with_unscaled(image, moved[id(_unscaled(image))]) for image in self.images)
        return replace(self, images=tuple(images), device=device)

    def crop_images(self, box: Box) -> Float32Array:
        """Returns the image channels [C, I, J, K] in a box of the model grid; channels of one image read it once."""
        read = {key: InMemoryImage(image.crop(box)) for key, image in self._unscaled_images.items()}
        images = (_with_unscaled(image, read[id(_unscaled(image))]) for image in self.images)
        return np.stack([image.crop(full_box(image.shape)) for image in images])

    def window_input(self, window: Window, images: Float32Array) -> Float32Array:
        """Returns the input of the network for one window; voxels outside the volume are 0.

        The channels [C + G + M, I, J, K] are C images, G guidance channels and M masks.

        Args:
            window: The window.
            images: The image channels [C, I, J, K] in ``window.volume_box``.
        """
        first_mask = len(images) + len(self.click_voxels)
        channels = self.device.zeros((first_mask + len(self.masks), *window.roi), np.float32)
        channels[(slice(len(images)), *window.local_box)] = images
        for channel, voxels in enumerate(self.click_voxels, len(images)):
            local = voxels_inside(voxels - window.start, window.roi)
            if len(local):
                i, j, k = self.device.put(local.T)
                channels[channel][i, j, k] = 1
        for channel, mask in enumerate(self.masks, first_mask):
            channels[(channel, *window.local_box)] = self.device.put(mask[window.volume_box])
        return channels


def replicate_border(channels: Float32Array, box: Box, device: Device) -> Float32Array:
    """Returns the channels of a window with the values at the border of a box outside this box.

    Args:
        channels: The channels [C, I, J, K].
        box: The part of the window inside the volume.
        device: The device of the channels.
    """
    for axis, part in enumerate(box, 1):
        size = channels.shape[axis]
        if (part.start, part.stop) != (0, size):
            indices = np.clip(np.arange(size), part.start, part.stop - 1)
            channels = np.take(channels, device.put(indices), axis=axis)
    return channels


class GridImage(Protocol):
    """A volume on the model grid."""

    @property
    def shape(self) -> Triple:
        """The shape of the model grid [I, J, K]."""
        ...

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a box, float32 [I, J, K]; a voxel has the same value in every box."""
        ...

    def to_device(self, device: Device) -> GridImage:
        """Returns the same volume on a device."""
        ...


@dataclass(frozen=True, slots=True)
class InMemoryImage:
    """A volume in memory.

    Attributes:
        array: The values [I, J, K].
    """

    array: Float32Array

    @property
    def shape(self) -> Triple:
        """The shape of the model grid [I, J, K]."""
        i, j, k = self.array.shape
        return i, j, k

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a box."""
        return self.array[box]

    def to_device(self, device: Device) -> InMemoryImage:
        """Returns the same volume on a device."""
        return InMemoryImage(device.put(self.array))


@dataclass(frozen=True, slots=True)
class ScaledImage:
    """A volume whose values are scaled for the model when they are read.

    Attributes:
        image: The volume in its unit.
        scaler: The function that scales values.
    """

    image: GridImage
    scaler: Scaler

    @property
    def shape(self) -> Triple:
        """The shape of the model grid [I, J, K]."""
        return self.image.shape

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a box."""
        return self.scaler(self.image.crop(box))

    def to_device(self, device: Device) -> ScaledImage:
        """Returns the same volume on a device."""
        return ScaledImage(self.image.to_device(device), self.scaler)


def _unscaled(image: GridImage) -> GridImage:
    """Returns the image that a channel scales, which several channels can share."""
    return image.image if isinstance(image, ScaledImage) else image


def _with_unscaled(image: GridImage, unscaled: GridImage) -> GridImage:
    """Returns a channel with another image before its scaling."""
    return ScaledImage(unscaled, image.scaler) if isinstance(image, ScaledImage) else unscaled


class ImageBuffer:
    """The image channels in one box of the model grid, on the device of the images."""

    def __init__(self, inputs: ModelInput, axis: int) -> None:
        """Starts empty.

        Args:
            inputs: The images.
            axis: The axis (0, 1 or 2 for I, J, K) along which one layer follows another.
        """
        self._inputs, self._axis = inputs, axis
        self._box = _EMPTY_BOX
        self._buffer: Float32Array | None = None

    def get(self, box: Box) -> Float32Array:
        """Returns the images in a box [C, I, J, K]: a view of the buffer, valid until the next call."""
        buffer = self.load(box)
        return buffer[(slice(None), *to_local_box(box, self._box))]

    def load(self, box: Box) -> Float32Array:
        """Loads the images in a box for the windows inside it; returns the buffer, which can be larger than the box."""
        if self._buffer is not None and bounding_box([box, self._box]) == self._box:
            return self._buffer
        old_buffer, old_box = self._buffer, self._box
        shape = (len(self._inputs.images), *(part.stop - part.start for part in box))
        fits = old_buffer is not None and old_buffer.shape == shape
        buffer = old_buffer if old_buffer is not None and fits else self._inputs.device.zeros(shape, np.float32)
        self._buffer, self._box = buffer, _EMPTY_BOX  # after an interruption the buffer is empty
        shared = 0 if old_buffer is None else self._keep_shared_planes(old_buffer, old_box, buffer, box)
        for first in range(box[self._axis].start + shared, box[self._axis].stop, _PLANES_PER_STEP):
            planes = replace_axis_range(
                box, self._axis, slice(first, min(first + _PLANES_PER_STEP, box[self._axis].stop))
            )
            buffer[(slice(None), *to_local_box(planes, box))] = self._inputs.crop_images(planes)
        self._box = box
        return buffer

    def _keep_shared_planes(self, old_buffer: Float32Array, old_box: Box, buffer: Float32Array, box: Box) -> int:
        """Moves the planes that two boxes share to the front of the buffer, and returns their number."""
        old, new = old_box[self._axis], box[self._axis]
        follows = old.start <= new.start < old.stop <= new.stop
        if not follows or replace_axis_range(old_box, self._axis, new) != box:
            return 0
        source, target = (np.moveaxis(array, 1 + self._axis, 0) for array in (old_buffer, buffer))
        shared: int = old.stop - new.start
        shift = new.start - old.start
        step = min(_PLANES_PER_STEP, shift) or _PLANES_PER_STEP  # CuPy cannot copy planes to planes that they overlap
        for first in range(0, shared, step):
            stop = min(first + step, shared)
            target[first:stop] = source[first + shift : stop + shift]
        return shared
