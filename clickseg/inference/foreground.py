"""The foreground of a case: the box that the network sees (MONAI ``CropForeground``), and a mask for z-scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import highdicom as hd
import numpy as np

from clickseg.core.arrays import (
    Box,
    Float32Array,
    Mask,
    Triple,
    bounding_box,
    full_box,
    mask_bounds,
    replace_axis_range,
    to_global_box,
)
from clickseg.core.device import Device
from clickseg.core.errors import InputError
from clickseg.inference.intensity import Scaler
from clickseg.inference.model_grid import crop_grid
from clickseg.inference.model_input import GridImage, InMemoryImage
from clickseg.models.spec import CropSpec

_PLANES_PER_BLOCK = 16

_SAME_VOXEL = 1e-3
"""Coordinates of two series that differ by less, in voxels, are the same."""


def foreground_box(images: Sequence[GridImage], crop: CropSpec) -> Box:
    """Returns the bounding box of the voxels that a crop chooses, with its margin; reads plane by plane.

    Args:
        images: The inputs, with the values and on the grid of the crop.
        crop: The crop.

    Raises:
        InputError: No voxel is chosen.
    """
    chosen = images if crop.inputs == "any" else images[:1]
    bounds = [box for image in chosen for box in _bounds_of_blocks(image, crop)]
    if not bounds:
        subject = "the series has" if len(chosen) == 1 else f"the {len(chosen)} series have"
        expected = "above 0" if crop.voxels == "positive" else "other than 0"
        scaled = " after scaling" if crop.values == "scaled" else ""
        raise InputError(
            f"{subject} no voxel {expected}{scaled}, but the model segments only the box of these voxels",
            hint="check that the series is one of the body, and its modality and unit",
        )
    i, j, k = (
        slice(max(part.start - crop.margin_vox, 0), min(part.stop + crop.margin_vox, size))
        for part, size in zip(bounding_box(bounds), images[0].shape, strict=True)
    )
    return i, j, k


def _bounds_of_blocks(image: GridImage, crop: CropSpec) -> Iterator[Box]:
    for block in plane_blocks(image.shape):
        values = image.crop(block)
        bounds = mask_bounds(values > 0 if crop.voxels == "positive" else values != 0)
        if bounds is not None:
            yield to_global_box(bounds, block)


def plane_blocks(shape: Triple) -> Iterator[Box]:
    """Yields boxes of some planes that cover an image of a shape, so that it is never read as a whole."""
    for first in range(0, shape[0], _PLANES_PER_BLOCK):
        yield replace_axis_range(full_box(shape), 0, slice(first, min(first + _PLANES_PER_BLOCK, shape[0])))


def foreground_mask(images: Sequence[GridImage]) -> Mask:
    """Returns the voxels where any image on one grid is not 0, with the holes between them (nnU-Net)."""
    from scipy import ndimage

    mask: Mask = np.zeros(images[0].shape, dtype=bool)
    for block in plane_blocks(images[0].shape):
        for image in images:
            mask[block] |= image.crop(block) != 0
    filled: Mask = ndimage.binary_fill_holes(mask)
    return filled


def crop_box(volumes: Sequence[hd.Volume], crop: CropSpec) -> Box:
    """Returns the box [K, J, I] that a crop chooses on the source grid: see ``foreground_box``.

    Args:
        volumes: The volumes of the inputs; with ``inputs`` ``any``, on one grid.
        crop: The crop.
    """
    return foreground_box([InMemoryImage(volume.array) for volume in volumes], crop)


def crop_volumes(volumes: Sequence[hd.Volume], box: Box) -> tuple[list[hd.Volume], Box]:
    """Returns the part of each volume that covers a box of the first one, and the box.

    Args:
        volumes: The volumes [K, J, I] of the inputs, which may have different grids.
        box: The box in the first volume.
    """
    region = crop_grid(volumes[0].get_geometry(), box)
    return [crop_grid(volumes[0], box), *(_crop_to_region(volume, region) for volume in volumes[1:])], box


def _crop_to_region(volume: hd.Volume, region: hd.VolumeGeometry) -> hd.Volume:
    """Returns the smallest part of a volume that covers a region; all of it if they do not overlap."""
    corners = np.array(list(product(*((0, count - 1) for count in region.spatial_shape))))
    index = volume.map_reference_to_indices(region.map_indices_to_reference(corners))
    first = np.maximum(np.floor(index.min(axis=0) + _SAME_VOXEL).astype(int), 0)
    stop = np.minimum(np.ceil(index.max(axis=0) - _SAME_VOXEL).astype(int) + 1, volume.spatial_shape)
    if (first >= stop).any():
        return volume
    k, j, i = (slice(int(start), int(end)) for start, end in zip(first, stop, strict=True))
    return crop_grid(volume, (k, j, i))


@dataclass(frozen=True, slots=True)
class CroppedImage:
    """A box of an image on the model grid.

    Attributes:
        image: The image.
        box: The box.
    """

    image: GridImage
    box: Box

    @property
    def shape(self) -> Triple:
        """The shape of the box [I, J, K]."""
        i, j, k = (part.stop - part.start for part in self.box)
        return i, j, k

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a part of the box, float32 [I, J, K]; a voxel has the same value in every part."""
        return self.image.crop(to_global_box(box, self.box))

    def to_device(self, device: Device) -> CroppedImage:
        """Returns the same box on a device."""
        return CroppedImage(self.image.to_device(device), self.box)


@dataclass(frozen=True, slots=True)
class ForegroundImage:
    """An image whose values are scaled in the foreground; voxels outside keep their value.

    Attributes:
        image: The image.
        mask: The foreground [I, J, K], on the device of the image.
        scaler: The function that scales values.
    """

    image: GridImage
    mask: Mask
    scaler: Scaler

    @property
    def shape(self) -> Triple:
        """The shape of the model grid [I, J, K]."""
        return self.image.shape

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a box, float32 [I, J, K]; a voxel has the same value in every box."""
        values = self.image.crop(box)
        scaled: Float32Array = np.where(self.mask[box], self.scaler(values), values)
        return scaled

    def to_device(self, device: Device) -> ForegroundImage:
        """Returns the same image on a device."""
        return ForegroundImage(self.image.to_device(device), device.put(self.mask), self.scaler)
