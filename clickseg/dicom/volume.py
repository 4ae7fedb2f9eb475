"""Reading a checked series into one volume of values with a unit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from clickseg.core.arrays import Numbers, Values
from clickseg.core.errors import PixelDataError
from clickseg.core.machine import processor_count
from clickseg.dicom.pixels import is_padding, read_frames
from clickseg.dicom.planes import Plane
from clickseg.dicom.series import CheckedSeries
from clickseg.dicom.source_headers import reference_headers
from clickseg.dicom.stack import Stack
from clickseg.dicom.values import Quantity, quantity_of, write_values


@dataclass(frozen=True, slots=True)
class Series(CheckedSeries):
    """A series in memory.

    Attributes:
        sources: Headers in the order of the planes, from which SEG and SR are made.
        volume: Its values [K, J, I] (slice, row, column), float32, in LPS mm.
        unit: ``HU``, ``SUVbw``, or empty.
        unit_rule: Where the unit comes from, for the report.
    """

    sources: tuple[Dataset, ...]
    volume: hd.Volume
    unit: str
    unit_rule: str

    def at_planes(self, labels: Numbers) -> Numbers:
        """Returns the slices [K, ...] of a label map on the volume's grid that lie closest to the planes."""
        if not self.stack.is_resampled:
            return labels
        chosen: Numbers = labels.take(np.floor(self.stack.slices + 0.5).astype(int), axis=0)
        return chosen


def load_volume(series: CheckedSeries) -> Series:
    """Decodes a series, rescales every frame by its own attributes, and stacks them.

    Padding takes the lowest value that is not padding. The result is float32 whatever the stored type, so that no slice
    overflows another one's range.

    Raises:
        SuvError: A PET series has no SUVbw.
        PixelDataError: Pixels cannot be decoded, are all padding, or are not in Hounsfield units in a CT series.
    """
    quantity = quantity_of(series)
    stack = series.stack
    sources = reference_headers(stack)
    values = _values(stack, quantity)
    volume = hd.Volume(
        array=_at_slices(values, stack) if stack.is_resampled else values,
        affine=stack.geometry.affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=stack.geometry.frame_of_reference_uid,
    )
    return Series(series.candidate, stack, sources, volume, quantity.unit, quantity.rule)


def _values(stack: Stack, quantity: Quantity) -> Values:
    """Returns the values at the planes [K, J, I]; several threads decode, each instance into its own planes."""
    values = np.empty((len(stack.planes), *stack.geometry.spatial_shape[1:]), dtype=np.float32)
    by_instance: dict[int, list[int]] = {}
    for index, plane in enumerate(stack.planes):
        by_instance.setdefault(id(plane.instance), []).append(index)

    def read(indices: Sequence[int]) -> list[int]:
        """Fills the planes of one instance; returns those that hold padding, as NaN."""
        frames = read_frames(stack.planes[indices[0]].instance)
        return [
            index for index in indices if _fill(values[index], frames, stack.planes[index], quantity.factors[index])
        ]

    with ThreadPoolExecutor(processor_count()) as pool:
        padded = [index for some in pool.map(read, by_instance.values()) for index in some]
    if padded:
        _replace_padding(values, padded, stack.planes[0].name)
    return values


def _fill(values: Values, frames: NDArray[Any], plane: Plane, factor: float) -> bool:
    """Writes the values of one plane; returns whether some are padding, and so no number."""
    stored = frames[(plane.frame_number or 1) - 1]
    write_values(stored, plane, factor, values)
    padding = is_padding(stored, plane.instance.header)
    if padding is not None:
        values[padding] = np.nan
    return padding is not None


def _replace_padding(values: Values, padded: Sequence[int], name: str) -> None:
    """Gives padding the lowest value of all planes that is none."""
    is_number = {index: np.isfinite(values[index]) for index in padded}
    lowest = [float(values[index][is_number[index]].min(initial=np.inf)) for index in padded]
    whole = [float(plane.min()) for index, plane in enumerate(values) if index not in is_number]
    least = min([*lowest, *whole])
    if not np.isfinite(least):
        raise PixelDataError(f"{name}: the series holds nothing but PixelPaddingValue (0028,0120)")
    for index in padded:
        values[index][~is_number[index]] = least


def _at_slices(values: Values, stack: Stack) -> Values:
    """Interpolates linearly between the planes, at the slices of the uniform grid."""
    wanted = np.clip(np.arange(stack.geometry.spatial_shape[0]), 0, stack.slices[-1])
    upper = np.clip(np.searchsorted(stack.slices, wanted), 1, len(stack.slices) - 1)
    below, above = stack.slices[upper - 1], stack.slices[upper]
    weight = ((wanted - below) / (above - below)).astype(np.float32)[:, np.newaxis, np.newaxis]
    return values[upper - 1] * (1 - weight) + values[upper] * weight
