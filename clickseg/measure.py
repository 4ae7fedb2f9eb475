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
    """Returns the largest mean over the voxels of the image at most ``PEAK_RADIUS_MM`` from one of the segment."""
    offsets = _sphere(volume.spacing)
    reach = np.abs(offsets).max(axis=0)
    voxels = mask.nonzero()
    box = tuple(slice(max(int(i.min()) - r, 0), int(i.max()) + r + 1) for i, r in zip(voxels, reach, strict=True))
    values: Values = volume.array[box]
    centres = np.argwhere(mask[box])
    total, count = np.zeros(len(centres)), np.zeros(len(centres))
    for offset in offsets:
        near = centres + offset
        inside = ((near >= 0) & (near < values.shape)).all(axis=1)
        total[inside] += values[tuple(near[inside].T)]
        count[inside] += 1
    return float((total / count).max())


def _sphere(spacing_mm: tuple[float, ...]) -> Indices:
    """Returns the offsets [N, 3] of voxels whose centres lie in the sphere."""
    reach = [int(PEAK_RADIUS_MM // step) for step in spacing_mm]
    offsets = np.array(list(product(*(range(-r, r + 1) for r in reach))), dtype=np.intp)
    distance: Doubles = np.linalg.norm(offsets * np.array(spacing_mm), axis=1)
    chosen: Indices = offsets[distance <= PEAK_RADIUS_MM]
    return chosen
