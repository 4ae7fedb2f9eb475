"""Image planes: the position and orientation in the patient of each frame of a single-frame or multi-frame instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom import Dataset

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import SeriesError
from clickseg.dicom.codes import MULTI_FRAME_SOP_CLASSES
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.part10 import Instance

_GEOMETRY_MACROS = {
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}
"""Functional group macros with the geometry of a frame (PS3.3, C.7.6.16.2); ambiguous if they have several items."""

_LENGTH_TOLERANCE = 0.01
_ANGLE_TOLERANCE = 0.003
"""The tolerances of direction cosines allow for cosines that were rounded to three decimals."""

_GEOMETRY_HINT = "use the original images: an export or an edit removed or changed their geometry"
_DELIMITER_HINT = (
    "values are separated by backslashes: repeat the export with this delimiter, or use the original images"
)


@dataclass(frozen=True, slots=True)
class Plane:
    """One image frame in the patient.

    Attributes:
        instance: The file that contains the frame.
        frame_number: The frame number in a multi-frame instance, from 1; None in a single-frame instance.
        position_mm: Image Position (Patient): the centre of the first pixel, in LPS mm.
        orientation: Image Orientation (Patient): the direction cosines of a row, then of a column; corrected to
            perpendicular unit vectors, because cosines with few decimals are not exactly perpendicular.
        pixel_spacing_mm: Pixel Spacing: the distance between rows, then the distance between columns.
    """

    instance: Instance
    frame_number: int | None
    position_mm: FloatArray
    orientation: FloatArray
    pixel_spacing_mm: FloatArray

    @property
    def name(self) -> str:
        """The name of the frame in messages."""
        return self.instance.name if self.frame_number is None else f"{self.instance.name} frame {self.frame_number}"

    @property
    def normal(self) -> FloatArray:
        """The unit vector along which positions increase, in LPS (PS3.3, C.7.6.2.1.1)."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    def get(self, keyword: str) -> Any:
        """Returns an attribute of the frame; None if it is absent."""
        return frame_attribute(self.instance.header, self.frame_number, keyword)


def read_planes(instance: Instance) -> tuple[Plane, ...]:
    """Returns the planes of an instance, in the order of its frames.

    Raises:
        SeriesError: An attribute of the position, orientation or pixel spacing is missing or invalid.
    """
    if instance.text("SOPClassUID") in MULTI_FRAME_SOP_CLASSES:
        return tuple(_make_plane(instance, number) for number in range(1, _frame_count(instance) + 1))
    return (_make_plane(instance, None),)


def has_one_frame(instance: Instance) -> bool:
    """Whether Number of Frames is 1, so that other instances of the series can be slices of the same volume."""
    try:
        return int(instance.header.get("NumberOfFrames") or 0) == 1
    except READ_ERRORS:
        return False


def frame_attribute(header: Dataset, frame_number: int | None, keyword: str) -> Any:
    """Returns an attribute of one frame; None if it is absent.

    Args:
        header: The header of the instance.
        frame_number: The frame number, from 1; the attributes of a frame are in its own or in the shared functional
            groups (PS3.3, C.7.6.16). None in a single-frame instance, whose attributes are at the top level.
        keyword: The attribute.
    """
    if frame_number is None:
        return header.get(keyword)
    for group in functional_groups(header, frame_number):
        if keyword in _GEOMETRY_MACROS:
            items = group.get(_GEOMETRY_MACROS[keyword])
            if items:
                return items[0].get(keyword) if len(items) == 1 else None
            continue
        for element in group:
            is_macro = element.VR == "SQ" and not element.tag.is_private
            if is_macro and element.value and keyword in element.value[0]:
                return element.value[0].get(keyword)
    return None


def functional_groups(header: Dataset, frame_number: int) -> tuple[Dataset, ...]:
    """Returns the functional groups of a frame (from 1): its own groups, then the shared groups."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    return tuple(per_frame[frame_number - 1 : frame_number]) + tuple(shared[:1])


def _frame_count(instance: Instance) -> int:
    count = int(instance.header.get("NumberOfFrames") or 0)
    group_count = len(instance.header.get("PerFrameFunctionalGroupsSequence") or [])
    if count < 1 or count != group_count:
        raise SeriesError(
            f"{instance.name}: NumberOfFrames (0028,0008) is {count}, but PerFrameFunctionalGroupsSequence "
            f"(5200,9230) describes {group_count}",
            hint="send the image again; if it is unchanged, ask the sending modality",
        )
    return count


def _make_plane(instance: Instance, number: int | None) -> Plane:
    def read_numbers(keyword: str, tag: str, count: int) -> FloatArray:
        name = instance.name if number is None else f"{instance.name} frame {number}"
        return _to_numbers(frame_attribute(instance.header, number, keyword), f"{name}: {keyword} {tag}", count)

    plane = Plane(
        instance,
        number,
        position_mm=read_numbers("ImagePositionPatient", "(0020,0032)", 3),
        orientation=read_numbers("ImageOrientationPatient", "(0020,0037)", 6),
        pixel_spacing_mm=read_numbers("PixelSpacing", "(0028,0030)", 2),
    )
    _check_plane(plane)
    return replace(plane, orientation=_orthonormalize(plane.orientation))


def _to_numbers(value: Any, attribute: str, count: int) -> FloatArray:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        hint = _DELIMITER_HINT if isinstance(value, str) and value else _GEOMETRY_HINT
        raise SeriesError(f"{attribute}: expected {count} numbers, got {value or 'no value'}", hint=hint)
    try:
        numbers = np.array([float(item) for item in value])
    except (TypeError, ValueError) as error:
        raise SeriesError(f"{attribute}: expected {count} numbers, got {value}", hint=_GEOMETRY_HINT) from error
    if not np.isfinite(numbers).all():
        raise SeriesError(f"{attribute}: expected finite numbers, got {value}", hint=_GEOMETRY_HINT)
    return numbers


def _check_plane(plane: Plane) -> None:
    row, column = plane.orientation[:3], plane.orientation[3:]
    if max(abs(row @ row - 1), abs(column @ column - 1)) > _LENGTH_TOLERANCE or abs(row @ column) > _ANGLE_TOLERANCE:
        raise SeriesError(
            f"{plane.name}: ImageOrientationPatient (0020,0037): expected two perpendicular unit vectors, "
            f"got {plane.orientation.tolist()}",
            hint=_GEOMETRY_HINT,
        )
    if plane.pixel_spacing_mm.min() <= 0:
        raise SeriesError(
            f"{plane.name}: PixelSpacing (0028,0030): expected two lengths above 0, "
            f"got {plane.pixel_spacing_mm.tolist()}",
            hint=_GEOMETRY_HINT,
        )


def _orthonormalize(orientation: FloatArray) -> FloatArray:
    """Returns the closest perpendicular unit vectors in the same plane with the same bisector."""
    row, column = (vector / np.linalg.norm(vector) for vector in (orientation[:3], orientation[3:]))
    bisector, difference = row + column, row - column
    bisector, difference = bisector / np.linalg.norm(bisector), difference / np.linalg.norm(difference)
    orthonormal: FloatArray = np.concatenate([bisector + difference, bisector - difference]) / np.sqrt(2)
    return orthonormal
