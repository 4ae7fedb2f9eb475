"""What is measured of a segment: its volume, and for PET the values that reports of PET give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import highdicom as hd
import numpy as np

from clickseg.arrays import Doubles, Indices, Mask, Values

PEAK_RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)
"""The radius of a sphere of 1 ml."""

_SLICES = 32
"""How many slices are looked at together: the memory that it takes does not depend on the series."""


@dataclass(frozen=True, slots=True)
class Uptake:
    """The SUVbw of a segment.

    Attributes:
        suv_max: The largest value, in g/ml.
        suv_mean: The mean, in g/ml.
        suv_peak: The largest mean over the sphere of 1 ml around a voxel of the segment (IBSI, global intensity peak).
        tlg_g: Total lesion glycolysis: mean times volume.
    """

    suv_max: float
    suv_mean: float
    suv_peak: float
    tlg_g: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements of a segment.

    Attributes:
        volume_ml: Its volume.
        uptake: Its SUVbw; None where the series has none.
    """

    volume_ml: float
    uptake: Uptake | None = None


def measure(mask: Mask, volume: hd.Volume, unit: str) -> Measured:
    """Returns the measurements of a segment.

    Args:
        mask: Its voxels [K, J, I]; at least one.
        volume: The series, in its unit.
        unit: The unit.
    """
    volume_ml = float(mask.sum() * volume.voxel_volume / 1000)
    if unit != "SUVbw":
        return Measured(volume_ml)
    values = volume.array[mask].astype(np.float64)
    mean, peak = float(values.mean()), _peak(mask, volume)
    return Measured(volume_ml, Uptake(float(values.max()), mean, peak, mean * volume_ml))


def _peak(mask: Mask, volume: hd.Volume) -> float:
    """Returns the largest mean over the voxels of the image at most ``PEAK_RADIUS_MM`` from one of the segment.

    Where it lies is found for all voxels at once, some slices at a time; there it is computed voxel by voxel.
    """
    offsets = _sphere(volume.spacing)
    reach = np.abs(offsets).max(axis=0)
    first, stop = (np.array([end(axis) for axis in mask.nonzero()]) for end in (np.min, np.max))
    highest = (-math.inf, np.zeros(3, np.intp))
    for start in range(int(first[0]), int(stop[0]) + 1, _SLICES):
        low = np.array([start, first[1], first[2]])
        high = np.array([min(start + _SLICES, stop[0] + 1), stop[1] + 1, stop[2] + 1])
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        if mask[box].any():
            means = np.where(mask[box], _sphere_means(volume.array, low, high, offsets, reach), -math.inf)
            place = np.unravel_index(int(means.argmax()), means.shape)
            highest = max(highest, (float(means[place]), low + place), key=lambda found: found[0])
    near = highest[1] + offsets
    near = near[((near >= 0) & (near < mask.shape)).all(axis=1)]
    return float(volume.array[tuple(near.T)].mean(dtype=np.float64))


def _sphere_means(array: Values, low: Indices, high: Indices, offsets: Indices, reach: Indices) -> Doubles:
    """Returns the mean over a sphere about each voxel of a box, by convolution; outside the image nothing counts."""
    from scipy.fft import irfftn, next_fast_len, rfftn

    start, stop = np.maximum(low - reach, 0), np.minimum(high + reach, array.shape)
    values = array[tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))]
    shape = [next_fast_len(int(count + 2 * r), real=True) for count, r in zip(values.shape, reach, strict=True)]
    sphere = np.zeros(2 * reach + 1)
    sphere[tuple((offsets + reach).T)] = 1
    spectrum = rfftn(sphere, shape)
    total, count = (irfftn(rfftn(each, shape) * spectrum, shape) for each in (values, np.ones(values.shape)))
    box = tuple(slice(int(a), int(b)) for a, b in zip(low - start + reach, high - start + reach, strict=True))
    means: Doubles = total[box] / np.rint(count[box])
    return means


def _sphere(spacing_mm: tuple[float, ...]) -> Indices:
    """Returns the offsets [N, 3] of voxels whose centres lie in the sphere."""
    reach = [int(PEAK_RADIUS_MM // step) for step in spacing_mm]
    offsets = np.array(list(product(*(range(-r, r + 1) for r in reach))), dtype=np.intp)
    distance: Doubles = np.linalg.norm(offsets * np.array(spacing_mm), axis=1)
    chosen: Indices = offsets[distance <= PEAK_RADIUS_MM]
    return chosen
