"""What is measured of a segment: its volume, and for PET the values that reports of PET give.

``Measures`` holds the measurements of a whole label map, which are made anew where it changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Doubles, Indices, Mask, Values
from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import Series

PEAK_RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)
"""The radius of a sphere of 1 ml."""

BLOCK_SLICES = 16
"""How many slices are looked at together: a change measures those anew that it reaches, and no others."""


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


class Measures:
    """What was measured of each class in each block of slices."""

    def __init__(self, series: Series) -> None:
        """Nothing is measured yet.

        Args:
            series: The series that label maps are of.
        """
        self._series = series
        self._parts: dict[tuple[int, int], BlockMeasurements] = {}

    def forget(self, box: Box) -> None:
        """Forgets what was measured where a label map changed [K, J, I]."""
        self._parts = {
            (number, first): part
            for (number, first), part in self._parts.items()
            if first + BLOCK_SLICES <= box[0].start or first >= box[0].stop
        }

    def of(self, labels: LabelMap) -> Mapping[int, Measured]:
        """Returns the measurements of the classes that are found, by their numbers."""
        series = self._series
        return {
            number: combine_blocks(self._measure_blocks(labels, number), series.volume, series.unit)
            for number in found_classes(series, labels)
        }

    def _measure_blocks(self, labels: LabelMap, number: int) -> Sequence[BlockMeasurements]:
        firsts = range(0, len(labels.array), BLOCK_SLICES)
        for first in firsts:
            if (number, first) not in self._parts:
                block = replace(labels, array=labels.array[first : first + BLOCK_SLICES]).mask(number)
                self._parts[number, first] = measure_block(block, first, self._series.volume, self._series.unit)
        return [self._parts[number, first] for first in firsts]


def found_classes(series: Series, labels: LabelMap) -> tuple[int, ...]:
    """Returns the numbers of the classes that have a voxel at a source plane, and so a segment.

    Where a gap was resampled, the grid has slices that no instance shows.
    """
    return replace(labels, array=series.at_planes(labels.array)).present()


@dataclass(frozen=True, slots=True)
class BlockMeasurements:
    """What is measured of the part of a segment in one block of slices.

    Attributes:
        voxels: How many there are.
        total: The sum of their values, for PET.
        highest: The largest of them.
        peak: The largest mean over the sphere of 1 ml around one of them.
    """

    voxel_count: int
    total: float = 0.0
    maximum: float = -math.inf
    peak: float = -math.inf


def measure_block(mask: Mask, first: int, volume: hd.Volume, unit: str) -> BlockMeasurements:
    """Returns what is measured of one block of slices: it depends on no other block.

    Args:
        mask: The segment's voxels [BLOCK or fewer, J, I].
        first: Which slice of the series is the first one.
        volume: The series, in its unit.
        unit: The unit.
    """
    voxels = int(np.count_nonzero(mask))
    if unit != "SUVbw" or not voxels:
        return BlockMeasurements(voxels)
    values = volume.array[first : first + len(mask)][mask].astype(np.float64)
    return BlockMeasurements(voxels, float(values.sum()), float(values.max()), _block_peak(mask, first, volume))


def combine_blocks(parts: Sequence[BlockMeasurements], volume: hd.Volume, unit: str) -> Measured:
    """Returns the measurements of a segment, from those of its blocks in their order."""
    voxels = sum(part.voxel_count for part in parts)
    volume_ml = float(voxels * volume.voxel_volume / 1000)
    if unit != "SUVbw":
        return Measured(volume_ml)
    mean = math.fsum(part.total for part in parts) / voxels
    highest, peak = max(part.maximum for part in parts), max(part.peak for part in parts)
    return Measured(volume_ml, Uptake(highest, mean, peak, mean * volume_ml))


def _block_peak(mask: Mask, first: int, volume: hd.Volume) -> float:
    """Returns the largest mean over the voxels of the image at most ``PEAK_RADIUS_MM`` from one of a block.

    Where it lies is found for all voxels at once; there it is computed voxel by voxel.
    """
    offsets = _sphere_offsets(volume.spacing)
    reach = np.abs(offsets).max(axis=0)
    low, high = (np.array([end(axis) for axis in mask.nonzero()]) for end in (np.min, np.max))
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    in_series = np.array([first, 0, 0])
    means = _sphere_means(volume.array, low + in_series, high + in_series + 1, offsets, reach)
    place = np.unravel_index(int(np.where(mask[box], means, -math.inf).argmax()), means.shape)
    near = low + in_series + place + offsets
    near = near[((near >= 0) & (near < volume.array.shape)).all(axis=1)]
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


def _sphere_offsets(spacing_mm: tuple[float, ...]) -> Indices:
    """Returns the offsets [N, 3] of voxels whose centres lie in the sphere."""
    reach = [int(PEAK_RADIUS_MM // step) for step in spacing_mm]
    offsets = np.array(list(product(*(range(-r, r + 1) for r in reach))), dtype=np.intp)
    distance: Doubles = np.linalg.norm(offsets * np.array(spacing_mm), axis=1)
    chosen: Indices = offsets[distance <= PEAK_RADIUS_MM]
    return chosen
