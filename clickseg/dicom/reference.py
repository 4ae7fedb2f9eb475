"""Source headers as the writers of derived objects need them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import highdicom as hd
from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.valuerep import format_number_as_ds, validate_value

from clickseg.dicom.stack import Stack
from clickseg.dicom.volume import Series

logger = logging.getLogger(__name__)

_TYPE_2 = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
"""Attributes of patient and study that every derived object must have, if only empty (PS3.3, C.7.1.1, C.7.2.1)."""

_COPIED_GROUPS = (0x0008, 0x0010, 0x0012)
_COPIED = ("PositionReferenceIndicator", "StudyID")
_TEXT = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
_IDENTITY = ("PatientID", "PatientName")
_CHARACTER_SETS = frozenset(name.value for name in hd.SpecificCharacterSetValues)


def reference_headers(series: Series) -> list[Dataset]:
    """Returns copies of a series' headers from which SEG and SR can be made, in the order of its planes.

    All share the orientation and the pixel measures that the stack was found to have. The first, from which patient and
    study are copied, has what a conformant image would have with an empty value; a value that breaks the rules of its
    attribute is left out with a warning; and its Specific Character Set is one that the writers know.
    """
    headers = [_aligned(header, series.stack) for header in series.source_images]
    _complete(headers[0])
    return headers


def _aligned(header: Dataset, stack: Stack) -> Dataset:
    """Returns a copy that shares its elements with the source: they are replaced in it, never changed."""
    copy = Dataset()
    copy.update(header)
    if stack.planes[0].frame_number is None:
        copy.update(_orientation(stack))
        copy.update(_measures(stack))
    else:
        groups = Dataset()
        groups.SharedFunctionalGroupsSequence = [_shared_groups(header, stack)]
        copy.update(groups)
    return copy


def _complete(header: Dataset) -> None:
    for keyword in list(_undefined(header)):
        logger.warning("%s of the source breaks the rules of its value representation: not in the result", keyword)
        del header[keyword]
    for keyword in _TYPE_2:
        if keyword not in header:
            setattr(header, keyword, "")
    _set_character_set(header)


def _shared_groups(header: Dataset, stack: Stack) -> Dataset:
    """Returns the shared functional groups with what all frames of the stack have in common."""
    shared = Dataset()
    for item in header.get("SharedFunctionalGroupsSequence") or ():
        shared.update(item)
    common = Dataset()
    common.PlaneOrientationSequence = [_orientation(stack)]
    common.PixelMeasuresSequence = [_measures(stack)]
    shared.update(common)
    return shared


def _orientation(stack: Stack) -> Dataset:
    orientation = Dataset()
    orientation.ImageOrientationPatient = stack.planes[0].get("ImageOrientationPatient")
    return orientation


def _measures(stack: Stack) -> Dataset:
    """Returns the pixel measures of a stack; its slices are as thick as they say, else as far apart as they lie."""
    plane, spacing = stack.planes[0], format_number_as_ds(float(stack.geometry.spacing[0]))
    measures = Dataset()
    measures.PixelSpacing = plane.get("PixelSpacing")
    measures.SliceThickness = plane.get("SliceThickness") or spacing
    if not stack.is_resampled:
        measures.SpacingBetweenSlices = spacing
    return measures


def _undefined(header: Dataset) -> Iterator[str]:
    """Yields the attributes of patient and study whose values break the rules of their value representation.

    Patient ID and name are not among them: they identify the patient whatever they look like.
    """
    for element in header:
        is_copied = element.tag.group in _COPIED_GROUPS or element.keyword in _COPIED
        if is_copied and element.VR in _TEXT and element.keyword and element.keyword not in _IDENTITY:
            values = element.value if element.VM > 1 else [element.value]
            if not all(_is_defined(element.keyword, element.VR, value) for value in values):
                yield element.keyword


def _is_defined(keyword: str, vr: str, value: Any) -> bool:
    if keyword == "PatientSex":
        return value in (None, "", "M", "F", "O")
    try:
        validate_value(vr, "" if value is None else str(value), RAISE)
    except ValueError:
        return False
    return True


def _set_character_set(header: Dataset) -> None:
    """Names the character set as PS3.3, C.12.1.1.2 defines it; text in any other is written as UTF-8."""
    if "SpecificCharacterSet" not in header:
        return
    element = header["SpecificCharacterSet"]
    names = [str(name or "") for name in (element.value if element.VM > 1 else [element.value])]
    del header["SpecificCharacterSet"]
    if len(names) == 1:
        names[0] = names[0].replace("ISO 2022 IR", "ISO_IR")  # one set alone needs no code extensions
    else:
        names[0] = names[0] or "ISO 2022 IR 6"
    if names not in ([""], ["ISO_IR 6"]):
        header.SpecificCharacterSet = names if _are_known(names) else "ISO_IR 192"


def _are_known(names: list[str]) -> bool:
    return {*names} <= _CHARACTER_SETS and (len(names) == 1 or all(name.startswith("ISO 2022") for name in names))
