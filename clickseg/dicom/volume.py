"""Reading a checked series into one volume of values with a unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from clickseg.arrays import Numbers, Values
from clickseg.dicom.pixels import is_padding, read_frames, rescale
from clickseg.dicom.planes import Plane
from clickseg.dicom.quantity import Quantity, quantity_of
from clickseg.dicom.reference import reference_headers
from clickseg.dicom.series import Candidate, CheckedSeries
from clickseg.dicom.stack import Stack
from clickseg.errors import PixelDataError


@dataclass(frozen=True, slots=True)
class Series:
    """A series in memory.

    Attributes:
        candidate: Its instances, headers only.
        stack: Its planes in the order of the volume's slices.
        sources: Headers in the order of the planes, from which SEG and SR are made.
        volume: Its values [K, J, I] (slice, row, column), float32, in LPS mm.
        unit: ``HU``, ``SUVbw``, or empty.
        unit_rule: Where the unit comes from, for the report.
    """

    candidate: Candidate
    stack: Stack
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


def read_series(series: CheckedSeries) -> Series:
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
    values = _without_padding(_values(stack, quantity), series.candidate.first.name)
    volume = hd.Volume(
        array=_at_slices(values, stack) if stack.is_resampled else values,
        affine=stack.geometry.affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=stack.geometry.frame_of_reference_uid,
    )
    return Series(series.candidate, stack, sources, volume, quantity.unit, quantity.rule)


def _values(stack: Stack, quantity: Quantity) -> Values:
    """Returns the values at the planes [K, J, I], NaN where they are padding."""
    values = np.empty((len(stack.planes), *stack.geometry.spatial_shape[1:]), dtype=np.float32)
    for index, stored in _stored(stack.planes):
        plane = stack.planes[index]
        values[index] = rescale(stored, plane) * quantity.factors[index]
        padding = is_padding(stored, plane.instance.header)
        if padding is not None:
            values[index][padding] = np.nan
    return values


def _stored(planes: tuple[Plane, ...]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yields each plane's index and stored values; every instance is decoded once."""
    by_instance: dict[int, list[int]] = {}
    for index, plane in enumerate(planes):
        by_instance.setdefault(id(plane.instance), []).append(index)
    for indices in by_instance.values():
        frames = read_frames(planes[indices[0]].instance)
        for index in indices:
            yield index, frames[(planes[index].frame_number or 1) - 1]


def _without_padding(values: Values, name: str) -> Values:
    is_number = np.isfinite(values)
    if is_number.all():
        return values
    if not is_number.any():
        raise PixelDataError(f"{name}: the series holds nothing but PixelPaddingValue (0028,0120)")
    values[~is_number] = values[is_number].min()
    return values


def _at_slices(values: Values, stack: Stack) -> Values:
    """Interpolates linearly between the planes, at the slices of the uniform grid."""
    wanted = np.clip(np.arange(stack.geometry.spatial_shape[0]), 0, stack.slices[-1])
    upper = np.clip(np.searchsorted(stack.slices, wanted), 1, len(stack.slices) - 1)
    below, above = stack.slices[upper - 1], stack.slices[upper]
    weight = ((wanted - below) / (above - below)).astype(np.float32)[:, np.newaxis, np.newaxis]
    return values[upper - 1] * (1 - weight) + values[upper] * weight
