"""Reads the pixels of a checked series into one volume of values with a unit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from clickseg.core.arrays import Float32Array, LabelArray
from clickseg.core.errors import PixelDataError
from clickseg.core.machine import processor_count
from clickseg.dicom.pixels import padding_mask, read_cells
from clickseg.dicom.planes import Plane
from clickseg.dicom.repeated_planes import nearest_planes
from clickseg.dicom.series import SeriesGeometry
from clickseg.dicom.source_headers import reference_headers
from clickseg.dicom.stack import Stack
from clickseg.dicom.stored_bits import CellRange, cell_range, check_bits_stored, extract_values, is_high_bit_wrong
from clickseg.dicom.values import Quantity, determine_quantity, rescale_frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SeriesVolume(SeriesGeometry):
    """A series in memory.

    Attributes:
        sources: The headers in the order of the planes, from which SEG and SR are created.
        volume: The values [K, J, I] (slice, row, column), float32, on a grid in LPS mm.
        unit: ``HU``, ``SUVbw``, or empty.
        unit_conversion: How the values were converted to the unit, for the report; empty if no conversion was needed.
    """

    sources: tuple[Dataset, ...]
    volume: hd.Volume
    unit: str
    unit_conversion: str

    def slices_at_planes(self, labels: LabelArray) -> LabelArray:
        """Returns the labels of the pixels of each plane [N, rows, columns, ...], from the closest slice.

        Args:
            labels: The label map on the grid of the volume [K, J, I, ...].
        """
        stack, nearest = self.stack, labels
        if stack.is_resampled:
            nearest = labels.take(np.floor(stack.slice_coordinates + 0.5).astype(int), axis=0)
        return nearest if stack.shifts is None else stack.shifts.shift_to_planes(nearest)


def load_volume(series: SeriesGeometry) -> SeriesVolume:
    """Decodes a series, rescales every frame by its own attributes, and stacks the frames.

    Padding is replaced by the lowest value that is not padding. The result is float32 for any stored type, so that no
    slice exceeds the range of another slice. If all values are equal, a warning is logged.

    Raises:
        SuvError: SUVbw cannot be computed for a PET series.
        PixelDataError: The pixels cannot be decoded, are all padding, or are not Hounsfield units in a CT series.
    """
    quantity = determine_quantity(series)
    stack = series.stack
    sources = reference_headers(stack)
    values = _read_planes(stack, quantity)
    if _is_constant(values):
        logger.warning(
            "%s: all voxels have the value %s: the result does not depend on the image",
            series.files,
            f"{values.flat[0]:g} {quantity.unit}".strip(),
        )
    if stack.shifts is not None:
        plane_of_slice = nearest_planes(stack.slice_coordinates, stack.geometry.spatial_shape[0])
        array = stack.shifts.shift_to_grid(values, plane_of_slice)
    else:
        array = _resample_slices(values, stack) if stack.is_resampled else values
    volume = hd.Volume(
        array=array,
        affine=stack.geometry.affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=stack.geometry.frame_of_reference_uid,
    )
    return SeriesVolume(series.files, stack, sources, volume, quantity.unit, quantity.rule)


def _read_planes(stack: Stack, quantity: Quantity) -> Float32Array:
    """Returns the values at the planes [N, rows, columns]; several threads decode instances in parallel."""
    values = np.empty((len(stack.planes), *stack.plane_shape), dtype=np.float32)
    indices_by_instance: dict[int, list[int]] = {}
    for index, plane in enumerate(stack.planes):
        indices_by_instance.setdefault(id(plane.instance), []).append(index)

    instances = [stack.planes[indices[0]].instance for indices in indices_by_instance.values()]
    ignore_high_bit = is_high_bit_wrong(instances, read_cells)
    ranges: dict[str, CellRange | None] = {}

    def read_instance(indices: Sequence[int]) -> list[int]:
        """Fills the planes of one instance; returns the indices of planes with padding, which is NaN."""
        instance = stack.planes[indices[0]].instance
        cells = read_cells(instance)
        ranges[instance.name] = cell_range(cells, instance.header)
        frames = extract_values(cells, instance.header, ignore_high_bit=ignore_high_bit)
        return [
            index
            for index in indices
            if _fill_plane(values[index], frames, stack.planes[index], quantity.factors[index])
        ]

    with ThreadPoolExecutor(processor_count()) as pool:
        padded = [index for indices in pool.map(read_instance, indices_by_instance.values()) for index in indices]
    check_bits_stored(instances, [ranges[instance.name] for instance in instances])
    if padded:
        _replace_padding(values, padded, stack.planes[0].name)
    return values


def _fill_plane(values: Float32Array, frames: NDArray[Any], plane: Plane, factor: float) -> bool:
    """Writes the values of one plane, with NaN for padding; returns whether the plane has padding."""
    stored = frames[(plane.frame_number or 1) - 1]
    rescale_frame(stored, plane, factor, values)
    padding = padding_mask(stored, plane.instance.header)
    if padding is not None:
        values[padding] = np.nan
    return padding is not None


def _replace_padding(values: Float32Array, padded: Sequence[int], name: str) -> None:
    """Replaces padding by the lowest value of all planes that is not padding."""
    is_number = {index: np.isfinite(values[index]) for index in padded}
    padded_minima = [float(values[index][is_number[index]].min(initial=np.inf)) for index in padded]
    other_minima = [float(plane.min()) for index, plane in enumerate(values) if index not in is_number]
    lowest = min([*padded_minima, *other_minima])
    if not np.isfinite(lowest):
        raise PixelDataError(
            f"{name}: all pixels of the series are PixelPaddingValue (0028,0120)",
            hint="send the series again; if its pixels are unchanged, ask the sending modality",
        )
    for index in padded:
        values[index][~is_number[index]] = lowest


def _is_constant(values: Float32Array) -> bool:
    """Whether all values are equal, as in a blanked series or one of an empty table; slow only if they are."""
    first = values.flat[0]
    return all(plane.min() == first == plane.max() for plane in values)


def _resample_slices(values: Float32Array, stack: Stack) -> Float32Array:
    """Interpolates linearly between the planes, at the slices of the uniform grid."""
    coordinates = np.clip(np.arange(stack.geometry.spatial_shape[0]), 0, stack.slice_coordinates[-1])
    upper = np.clip(np.searchsorted(stack.slice_coordinates, coordinates), 1, len(stack.slice_coordinates) - 1)
    below, above = stack.slice_coordinates[upper - 1], stack.slice_coordinates[upper]
    weight = ((coordinates - below) / (above - below)).astype(np.float32)[:, np.newaxis, np.newaxis]
    return values[upper - 1] * (1 - weight) + values[upper] * weight
