"""Measurements of segments: the volume, and for PET the SUV values that PET reports contain.

``MeasurementCache`` keeps the measurements of a label map, and recomputes them only where the label map changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Float32Array, FloatArray, IndexArray, Mask
from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import SeriesVolume

PEAK_RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)
"""The radius of a sphere of 1 ml."""

BLOCK_SLICES = 16
"""The number of slices of a block; only blocks that contain a change are measured again."""


@dataclass(frozen=True, slots=True)
class Uptake:
    """The SUVbw of a segment.

    Attributes:
        suv_max: The maximum, in g/ml.
        suv_mean: The mean, in g/ml.
        suv_peak: The largest mean over a sphere of 1 ml centred on a voxel of the segment (IBSI, global intensity
            peak), in g/ml.
        tlg_g: Total lesion glycolysis: mean times volume.
    """

    suv_max: float
    suv_mean: float
    suv_peak: float
    tlg_g: float


@dataclass(frozen=True, slots=True)
class SegmentMeasurements:
    """The measurements of a segment.

    Attributes:
        volume_ml: The volume.
        uptake: The SUVbw; None if the series is not in SUVbw.
    """

    volume_ml: float
    uptake: Uptake | None = None


class MeasurementCache:
    """The measurements of each class in each block of slices."""

    def __init__(self, series: SeriesVolume) -> None:
        """Starts without measurements.

        Args:
            series: The series of the label maps.
        """
        self._series = series
        self._blocks: dict[tuple[int, int], BlockMeasurements] = {}

    def invalidate(self, box: Box) -> None:
        """Discards the measurements of the blocks in which a label map changed.

        Args:
            box: The part of the label map [K, J, I] that changed.
        """
        self._blocks = {
            (number, first): block
            for (number, first), block in self._blocks.items()
            if first + BLOCK_SLICES <= box[0].start or first >= box[0].stop
        }

    def measure(self, labels: LabelMap) -> Mapping[int, SegmentMeasurements]:
        """Returns the measurements of all segments of a label map, by class number."""
        series = self._series
        return {
            number: combine_blocks(self._measure_blocks(labels, number), series.volume, series.unit)
            for number in segmented_classes(series, labels)
        }

    def _measure_blocks(self, labels: LabelMap, number: int) -> Sequence[BlockMeasurements]:
        firsts = range(0, len(labels.array), BLOCK_SLICES)
        for first in firsts:
            if (number, first) not in self._blocks:
                mask = replace(labels, array=labels.array[first : first + BLOCK_SLICES]).mask(number)
                self._blocks[number, first] = measure_block(mask, first, self._series.volume, self._series.unit)
        return [self._blocks[number, first] for first in firsts]


def segmented_classes(series: SeriesVolume, labels: LabelMap) -> tuple[int, ...]:
    """Returns the numbers of the classes that have a voxel on a source plane, and therefore a segment.

    If a gap between slices was filled by resampling, the grid has slices without an instance.
    """
    return replace(labels, array=series.slices_at_planes(labels.array)).present_classes()


@dataclass(frozen=True, slots=True)
class BlockMeasurements:
    """The measurements of the part of a segment that is in one block of slices.

    Attributes:
        voxel_count: The number of voxels.
        total: The sum of their values, for PET.
        maximum: Their maximum.
        peak: The largest mean over a sphere of 1 ml centred on one of them.
    """

    voxel_count: int
    total: float = 0.0
    maximum: float = -math.inf
    peak: float = -math.inf


def measure_block(mask: Mask, first: int, volume: hd.Volume, unit: str) -> BlockMeasurements:
    """Measures one block of slices, independently of all other blocks.

    Args:
        mask: The segment's voxels in the block [BLOCK_SLICES or fewer, J, I].
        first: The index of the block's first slice in the series.
        volume: The series, in its unit.
        unit: The unit.
    """
    voxel_count = int(np.count_nonzero(mask))
    if unit != "SUVbw" or not voxel_count:
        return BlockMeasurements(voxel_count)
    values = volume.array[first : first + len(mask)][mask].astype(np.float64)
    return BlockMeasurements(voxel_count, float(values.sum()), float(values.max()), _block_peak(mask, first, volume))


def combine_blocks(blocks: Sequence[BlockMeasurements], volume: hd.Volume, unit: str) -> SegmentMeasurements:
    """Returns the measurements of a segment from the measurements of all blocks, in the order of the slices."""
    voxel_count = sum(block.voxel_count for block in blocks)
    volume_ml = float(voxel_count * volume.voxel_volume / 1000)
    if unit != "SUVbw":
        return SegmentMeasurements(volume_ml)
    mean = math.fsum(block.total for block in blocks) / voxel_count
    maximum, peak = max(block.maximum for block in blocks), max(block.peak for block in blocks)
    return SegmentMeasurements(volume_ml, Uptake(maximum, mean, peak, mean * volume_ml))


def _block_peak(mask: Mask, first: int, volume: hd.Volume) -> float:
    """Returns the largest mean over the image voxels at most ``PEAK_RADIUS_MM`` from a voxel of a block.

    The position of the peak is found by convolution for all voxels at once; its value is then summed voxel by voxel.
    """
    offsets = _sphere_offsets(volume.spacing)
    reach = np.abs(offsets).max(axis=0)
    low, high = (np.array([end(axis) for axis in mask.nonzero()]) for end in (np.min, np.max))
    box = tuple(slice(int(start), int(last) + 1) for start, last in zip(low, high, strict=True))
    origin = np.array([first, 0, 0])
    means = _sphere_means(volume.array, low + origin, high + origin + 1, offsets, reach)
    centre = np.unravel_index(int(np.where(mask[box], means, -math.inf).argmax()), means.shape)
    voxels = low + origin + centre + offsets
    voxels = voxels[((voxels >= 0) & (voxels < volume.array.shape)).all(axis=1)]
    return float(volume.array[tuple(voxels.T)].mean(dtype=np.float64))


def _sphere_means(
    array: Float32Array, low: IndexArray, high: IndexArray, offsets: IndexArray, reach: IndexArray
) -> FloatArray:
    """Returns the mean over a sphere around each voxel of a box, by convolution; voxels outside the image are ignored.

    Args:
        array: The image [K, J, I].
        low: The first voxel of the box.
        high: The voxel after the last voxel of the box.
        offsets: The voxels of the sphere [N, 3], relative to its centre.
        reach: The largest offset along each axis.
    """
    from scipy.fft import irfftn, next_fast_len, rfftn

    start, stop = np.maximum(low - reach, 0), np.minimum(high + reach, array.shape)
    values = array[tuple(slice(int(first), int(end)) for first, end in zip(start, stop, strict=True))]
    shape = [next_fast_len(int(size + 2 * margin), real=True) for size, margin in zip(values.shape, reach, strict=True)]
    sphere = np.zeros(2 * reach + 1)
    sphere[tuple((offsets + reach).T)] = 1
    spectrum = rfftn(sphere, shape)
    total, count = (irfftn(rfftn(image, shape) * spectrum, shape) for image in (values, np.ones(values.shape)))
    first_voxel, end_voxel = low - start + reach, high - start + reach
    box = tuple(slice(int(first), int(end)) for first, end in zip(first_voxel, end_voxel, strict=True))
    means: FloatArray = total[box] / np.rint(count[box])
    return means


def _sphere_offsets(spacing_mm: tuple[float, ...]) -> IndexArray:
    """Returns the offsets [N, 3] of the voxels whose centres are inside the sphere."""
    reach = [int(PEAK_RADIUS_MM // step) for step in spacing_mm]
    offsets = np.array(list(product(*(range(-margin, margin + 1) for margin in reach))), dtype=np.intp)
    distance: FloatArray = np.linalg.norm(offsets * np.array(spacing_mm), axis=1)
    inside: IndexArray = offsets[distance <= PEAK_RADIUS_MM]
    return inside
