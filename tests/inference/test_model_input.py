"""Channels of one image share it: it is read once, and it is on a device once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clickseg.core.arrays import Box, Float32Array, Triple
from clickseg.core.device import HOST, Device
from clickseg.inference.model_input import ModelInput, ScaledImage

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
BOX = (slice(0, 2), slice(1, 3), slice(0, 3))


@dataclass
class CountingImage:
    """An image that counts how often it is read and moved."""

    reads: list[Box] = field(default_factory=list)
    moves: list[Device] = field(default_factory=list)
    shape: Triple = (2, 3, 4)

    def crop(self, box: Box) -> Float32Array:
        self.reads.append(box)
        return VALUES[box]

    def to_device(self, device: Device) -> CountingImage:
        self.moves.append(device)
        return self


def shared_input(image: CountingImage) -> ModelInput:
    return ModelInput((ScaledImage(image, lambda values: 2 * values), image, ScaledImage(image, np.negative)), ())


def test_channels_of_one_image_read_it_once() -> None:
    image = CountingImage()

    channels = shared_input(image).crop_images(BOX)

    np.testing.assert_array_equal(channels, [2 * VALUES[BOX], VALUES[BOX], -VALUES[BOX]])
    assert image.reads == [BOX]


def test_channels_of_one_image_are_on_a_device_once() -> None:
    image = CountingImage()

    moved = shared_input(image).to_device(HOST)

    assert image.moves == [HOST]
    np.testing.assert_array_equal(moved.crop_images(BOX), [2 * VALUES[BOX], VALUES[BOX], -VALUES[BOX]])
