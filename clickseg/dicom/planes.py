"""Image planes: where each frame of a classic or an Enhanced (multi-frame) instance lies in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom import Dataset

from clickseg.core.arrays import Doubles
from clickseg.core.errors import SeriesError
from clickseg.dicom.codes import MULTI_FRAME
from clickseg.dicom.part10 import Instance

_MACROS = {
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}
"""Where the attributes stand that place a frame (PS3.3, C.7.6.16.2); with several items, nothing says where it lies."""

_NO_UNIT = 0.01
_NOT_PERPENDICULAR = 0.003
"""How far direction cosines may be off: enough for three decimals."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One image frame in the patient.

    Attributes:
        instance: The file that holds the frame.
        frame_number: Its number in a multi-frame instance, from 1; None in a single-frame one.
        position_mm: Image Position (Patient): LPS mm of the centre of the first pixel.
        orientation: Image Orientation (Patient): the direction cosines of a row, then of a column; made perpendicular
            unit vectors, which what is written with few decimals is not.
        pixel_spacing_mm: Pixel Spacing: between rows, then between columns.
    """

    instance: Instance
    frame_number: int | None
    position_mm: Doubles
    orientation: Doubles
    pixel_spacing_mm: Doubles

    @property
    def name(self) -> str:
        """The frame as messages name it."""
        return self.instance.name if self.frame_number is None else f"{self.instance.name} frame {self.frame_number}"

    @property
    def normal(self) -> Doubles:
        """The unit vector along which positions increase, in LPS (PS3.3, C.7.6.2.1.1)."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    def get(self, keyword: str) -> Any:
        """Returns an attribute of the frame, wherever its instance keeps it, else None."""
        return frame_attribute(self.instance.header, self.frame_number, keyword)


def planes_of(instance: Instance) -> tuple[Plane, ...]:
    """Returns the planes of an instance, in the order of its frames.

    Raises:
        SeriesError: An attribute that places a frame in the patient is missing or makes no sense.
    """
    if instance.text("SOPClassUID") in MULTI_FRAME:
        return tuple(_plane(instance, number) for number in range(1, _frame_count(instance) + 1))
    return (_plane(instance, None),)


def frame_attribute(header: Dataset, frame_number: int | None, keyword: str) -> Any:
    """Returns an attribute of one frame, else None.

    Args:
        header: The instance.
        frame_number: None in a single-frame instance, whose attributes stand at the top; else the frame, from 1, whose
            attributes stand in its own or in the shared functional groups (PS3.3, C.7.6.16).
        keyword: The attribute.
    """
    if frame_number is None:
        return header.get(keyword)
    for group in functional_groups(header, frame_number):
        if keyword in _MACROS:
            items = group.get(_MACROS[keyword])
            if items:
                return items[0].get(keyword) if len(items) == 1 else None
            continue
        for element in group:
            is_macro = element.VR == "SQ" and not element.tag.is_private
            if is_macro and element.value and keyword in element.value[0]:
                return element.value[0].get(keyword)
    return None


def functional_groups(header: Dataset, frame_number: int) -> tuple[Dataset, ...]:
    """Returns the functional groups of a frame (from 1): its own, then those that all frames share."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    return tuple(own[frame_number - 1 : frame_number]) + tuple(shared[:1])


def _frame_count(instance: Instance) -> int:
    count = int(instance.header.get("NumberOfFrames") or 0)
    described = len(instance.header.get("PerFrameFunctionalGroupsSequence") or [])
    if count < 1 or count != described:
        raise SeriesError(
            f"{instance.name}: NumberOfFrames (0028,0008) is {count}, but PerFrameFunctionalGroupsSequence "
            f"(5200,9230) describes {described}"
        )
    return count


def _plane(instance: Instance, number: int | None) -> Plane:
    def numbers(keyword: str, tag: str, count: int) -> Doubles:
        where = instance.name if number is None else f"{instance.name} frame {number}"
        return _numbers(frame_attribute(instance.header, number, keyword), f"{where}: {keyword} {tag}", count)

    plane = Plane(
        instance,
        number,
        position_mm=numbers("ImagePositionPatient", "(0020,0032)", 3),
        orientation=numbers("ImageOrientationPatient", "(0020,0037)", 6),
        pixel_spacing_mm=numbers("PixelSpacing", "(0028,0030)", 2),
    )
    _check_plane(plane)
    return replace(plane, orientation=_orthonormal(plane.orientation))


def _numbers(value: Any, what: str, count: int) -> Doubles:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        raise SeriesError(f"{what}: expected {count} numbers, got {value or 'nothing'}")
    try:
        numbers = np.array([float(item) for item in value])
    except (TypeError, ValueError) as error:
        raise SeriesError(f"{what}: expected {count} numbers, got {value}") from error
    if not np.isfinite(numbers).all():
        raise SeriesError(f"{what}: expected finite numbers, got {value}")
    return numbers


def _check_plane(plane: Plane) -> None:
    row, column = plane.orientation[:3], plane.orientation[3:]
    if max(abs(row @ row - 1), abs(column @ column - 1)) > _NO_UNIT or abs(row @ column) > _NOT_PERPENDICULAR:
        raise SeriesError(
            f"{plane.name}: ImageOrientationPatient (0020,0037): expected two perpendicular unit vectors, "
            f"got {plane.orientation.tolist()}"
        )
    if plane.pixel_spacing_mm.min() <= 0:
        raise SeriesError(
            f"{plane.name}: PixelSpacing (0028,0030): expected two lengths above 0, "
            f"got {plane.pixel_spacing_mm.tolist()}"
        )


def _orthonormal(orientation: Doubles) -> Doubles:
    """Returns the closest perpendicular unit vectors that share the plane and the direction between the two."""
    row, column = (vector / np.linalg.norm(vector) for vector in (orientation[:3], orientation[3:]))
    between, across = row + column, row - column
    between, across = between / np.linalg.norm(between), across / np.linalg.norm(across)
    pair: Doubles = np.concatenate([between + across, between - across]) / np.sqrt(2)
    return pair
