"""Smooths an image by a Gaussian while it is read, as MONAI's ``GaussianSmooth`` with its default ``approx="erf"``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clickseg.core.arrays import Box, Float32Array, Triple, replace_axis_range, to_local_box
from clickseg.core.device import Device
from clickseg.inference.model_input import GridImage

_TRUNCATED_SIGMAS = 4.0


@dataclass(frozen=True, slots=True)
class SmoothedImage:
    """A smoothed volume; voxels outside the volume count as 0.

    Attributes:
        image: The volume.
        sigma_vox: The standard deviation of the Gaussian, in voxels.
    """

    image: GridImage
    sigma_vox: float

    @property
    def shape(self) -> Triple:
        """The shape of the model grid [I, J, K]."""
        return self.image.shape

    def crop(self, box: Box) -> Float32Array:
        """Returns the values in a box, float32 [I, J, K]; a voxel has the same value in every box."""
        weights = gaussian_weights(self.sigma_vox)
        reach = len(weights) // 2
        outer = box
        for axis, (part, size) in enumerate(zip(box, self.shape, strict=True)):
            outer = replace_axis_range(outer, axis, slice(max(part.start - reach, 0), min(part.stop + reach, size)))
        array = self.image.crop(outer)
        for axis, part in enumerate(to_local_box(box, outer)):
            array = _smooth_along_axis(array, axis, part, weights)
        return array

    def to_device(self, device: Device) -> SmoothedImage:
        """Returns the same volume on a device."""
        return SmoothedImage(self.image.to_device(device), self.sigma_vox)


def gaussian_weights(sigma: float) -> Float32Array:
    """Returns the integral of a Gaussian over each voxel within 4 standard deviations."""
    tail = int(max(sigma * _TRUNCATED_SIGMAS, 0.5) + 0.5)
    edges = np.arange(-tail, tail + 2) - 0.5
    integrals = [0.5 * math.erf(edge / (math.sqrt(2) * sigma)) for edge in edges]
    return np.diff(integrals).astype(np.float32)


def _smooth_along_axis(array: Float32Array, axis: int, part: slice, weights: Float32Array) -> Float32Array:
    """Returns a part of the range along one axis, smoothed along this axis; beyond the array, values are 0."""
    reach = len(weights) // 2
    size, before = array.shape[axis], (slice(None),) * axis
    shape = [part.stop - part.start if index == axis else count for index, count in enumerate(array.shape)]
    smoothed: Float32Array = np.zeros_like(array, shape=shape)
    for offset, weight in zip(range(-reach, reach + 1), weights, strict=True):
        first, stop = max(part.start + offset, 0), min(part.stop + offset, size)
        if first < stop:
            target = slice(first - offset - part.start, stop - offset - part.start)
            smoothed[(*before, target)] += array[(*before, slice(first, stop))] * weight
    return smoothed
