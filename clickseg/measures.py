"""The measurements of all segments of a label map, which are made anew where it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from clickseg.boxes import Box
from clickseg.dicom.volume import Series
from clickseg.label_map import LabelMap
from clickseg.measure import BLOCK, Measured, Part, combined, measure_part


def found_classes(series: Series, labels: LabelMap) -> tuple[int, ...]:
    """Returns the numbers of the classes that have a voxel at a source plane, and so a segment.

    Where a gap was resampled, the grid has slices that no instance shows.
    """
    return replace(labels, array=series.at_planes(labels.array)).present()


class Measures:
    """What was measured of each class in each block of slices."""

    def __init__(self, series: Series) -> None:
        """Nothing is measured yet.

        Args:
            series: The series that label maps are of.
        """
        self._series = series
        self._parts: dict[tuple[int, int], Part] = {}

    def forget(self, box: Box) -> None:
        """Forgets what was measured where a label map changed [K, J, I]."""
        self._parts = {
            (number, first): part
            for (number, first), part in self._parts.items()
            if first + BLOCK <= box[0].start or first >= box[0].stop
        }

    def of(self, labels: LabelMap) -> Mapping[int, Measured]:
        """Returns the measurements of the classes that are found, by their numbers."""
        series = self._series
        return {
            number: combined(self._parts_of(labels, number), series.volume, series.unit)
            for number in found_classes(series, labels)
        }

    def _parts_of(self, labels: LabelMap, number: int) -> Sequence[Part]:
        firsts = range(0, len(labels.array), BLOCK)
        for first in firsts:
            if (number, first) not in self._parts:
                block = replace(labels, array=labels.array[first : first + BLOCK]).mask(number)
                self._parts[number, first] = measure_part(block, first, self._series.volume, self._series.unit)
        return [self._parts[number, first] for first in firsts]
