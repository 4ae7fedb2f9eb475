"""Prepares source headers for the writers of SEG and SR."""

from __future__ import annotations

import logging
from collections import deque
from copy import deepcopy

import highdicom as hd
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.valuerep import format_number_as_ds

from clickseg.dicom.attribute_names import name_with_tag
from clickseg.dicom.attribute_types import (
    attribute_types,
    empty_tags,
    is_empty,
    required_type_2_keywords,
    unsatisfied_keywords,
)
from clickseg.dicom.character_sets import MULTI_BYTE_EXTENSIONS, read_name, text_problem
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.copied_attributes import PATIENT_ID_KEYWORDS, invalid_tags
from clickseg.dicom.lossy_compression import set_lossy_compression
from clickseg.dicom.planes import Plane
from clickseg.dicom.specimen import pop_invalid_specimen
from clickseg.dicom.stack import Stack

logger = logging.getLogger(__name__)

_TYPE_2_KEYWORDS = (
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
"""Type 2 attributes of patient and study: required in every derived object, even if empty (PS3.3, C.7.1.1, C.7.2.1)."""

_MULTI_FRAME_KEYWORDS = (
    "ImagePositionPatient",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)
_SUPPORTED_CHARACTER_SETS = frozenset(name.value for name in hd.SpecificCharacterSetValues) - {
    "GBK",
    "ISO 2022 IR 58",
    "ISO_IR 13",
}
"""Character sets that the writers and validators support; dciodvfy does not know GBK and ISO_IR 13, highdicom IR 58."""


def reference_headers(stack: Stack) -> tuple[Dataset, ...]:
    """Returns copies of the headers of a series in the order of its planes, for the writers of SEG and SR.

    All copies have the orientation and the pixel measures of the stack. The writers copy patient and study from the
    first header. In this header, missing type 2 attributes are added with an empty value, invalid values are removed
    with a warning, and Specific Character Set is one that the writers support.
    """
    instances = {id(plane.instance): plane.instance for plane in stack.planes}
    if len(instances) > 1 or stack.planes[0].frame_number is None:
        common = _pixel_measures(stack)
        common.update(_orientation(stack))
        headers = tuple(_copy_with_attributes(plane, common) for plane in stack.planes)
    else:
        headers = tuple(_copy_with_groups(instance.header, stack) for instance in instances.values())
    set_lossy_compression(headers)
    _complete_patient_and_study(headers[0])
    return headers


def _shallow_copy(header: Dataset) -> Dataset:
    """Returns a copy that shares its elements with the source; elements of the copy must be replaced, never changed."""
    return Dataset(dict(header.items()))


def _copy_with_attributes(plane: Plane, attributes: Dataset) -> Dataset:
    """Returns a copy of the header of one plane with the attributes that all planes of the stack share.

    A multi-frame instance with one frame becomes a single-frame header, because the writers accept only one multi-frame
    instance as their source.
    """
    copy = _shallow_copy(plane.instance.header)
    copy.pop("SpacingBetweenSlices", None)  # not defined if the stack was resampled
    copy.update(attributes)
    if plane.frame_number is not None:
        for keyword in _MULTI_FRAME_KEYWORDS:
            copy.pop(keyword, None)
        copy.ImagePositionPatient = plane.get("ImagePositionPatient")
    return copy


def _copy_with_groups(header: Dataset, stack: Stack) -> Dataset:
    """Returns a copy of a multi-frame header with the functional groups that all frames of the stack share."""
    copy, groups = _shallow_copy(header), Dataset()
    groups.SharedFunctionalGroupsSequence = [_shared_groups(header, stack)]
    copy.update(groups)
    return copy


def _complete_patient_and_study(header: Dataset) -> None:
    """Adds missing type 2 attributes, removes invalid values, and sets a supported Specific Character Set."""
    for keyword in PATIENT_ID_KEYWORDS:
        if keyword in header:
            _correct_patient_id(header, keyword)
    _omit_invalid_attributes(header)
    if pop_invalid_specimen(header):
        logger.warning("the description of a specimen in the source is incomplete: it is omitted from the result")
    _decode_items(header)
    for keyword in (*_TYPE_2_KEYWORDS, *required_type_2_keywords(header)):
        if keyword not in header:
            setattr(header, keyword, "")
        elif header[keyword].VM > 1:
            logger.warning(
                "%s of the source has several values: only the first is copied to the result", name_with_tag(keyword)
            )
            header[keyword] = DataElement(keyword, header[keyword].VR, header[keyword].value[0])
    _set_character_set(header)


def _correct_patient_id(header: Dataset, keyword: str) -> None:
    """Corrects the characters and the value representation of a name or ID, and warns of other faults."""
    text, element = read_name(header, keyword), header[keyword]
    is_other_text = element.VM <= 1 and text != str(element.value or "")
    if is_other_text or dictionary_VR(keyword) != element.VR:
        header[keyword] = DataElement(keyword, dictionary_VR(keyword), text)
    if problem := text_problem(header, keyword):
        logger.warning("%s of the source %s", name_with_tag(keyword), problem)


def _omit_invalid_attributes(header: Dataset) -> None:
    """Removes the copied attributes with invalid values, with a warning, and those whose value must not be empty."""
    for tag in list(invalid_tags(header)):
        name = name_with_tag(keyword_for_tag(tag)) or str(tag)
        logger.warning("%s of the source is invalid, or outside its character set: it is omitted from the result", name)
        del header[tag]
    for tag in list(empty_tags(header)):
        del header[tag]
    for keyword in unsatisfied_keywords(header):
        if not is_empty(header[keyword]):
            logger.warning(
                "%s of the source is omitted from the result: it requires attributes without a value",
                name_with_tag(keyword),
            )
        del header[keyword]


def _decode_items(header: Dataset) -> None:
    """Replaces the copied sequences by decoded copies: writers encode decoded text, but copy the bytes of other text.

    The copies are in the character set of the result, which can differ from that of the source.
    """
    for keyword in attribute_types():
        if keyword in header and header[keyword].VR == "SQ":
            element = deepcopy(header[keyword])
            for item in element.value:
                deque(item.iterall(), maxlen=0)
            header[keyword] = element


def _shared_groups(header: Dataset, stack: Stack) -> Dataset:
    """Returns the shared functional groups with the orientation and the pixel measures of the stack."""
    shared = Dataset()
    for item in header.get("SharedFunctionalGroupsSequence") or ():
        shared.update(item)
    common = Dataset()
    common.PlaneOrientationSequence = [_orientation(stack)]
    common.PixelMeasuresSequence = [_pixel_measures(stack)]
    shared.update(common)
    return shared


def _orientation(stack: Stack) -> Dataset:
    orientation = Dataset()
    orientation.ImageOrientationPatient = stack.planes[0].get("ImageOrientationPatient")
    return orientation


def _pixel_measures(stack: Stack) -> Dataset:
    """Returns the pixel measures of a stack; the slice spacing replaces an invalid Slice Thickness."""
    plane, spacing = stack.planes[0], format_number_as_ds(float(stack.geometry.spacing[0]))
    measures = Dataset()
    measures.PixelSpacing = plane.get("PixelSpacing")
    measures.SliceThickness = _slice_thickness(plane) or spacing
    if not stack.is_resampled:
        measures.SpacingBetweenSlices = spacing
    return measures


def _slice_thickness(plane: Plane) -> str | None:
    """Returns Slice Thickness (0018,0050); None if it is missing or not above 0."""
    try:
        thickness = float(plane.get("SliceThickness") or 0)
    except READ_ERRORS:
        return None
    return format_number_as_ds(thickness) if 0 < thickness < float("inf") else None


def _set_character_set(header: Dataset) -> None:
    """Sets a defined term of Specific Character Set (PS3.3, C.12.1.1.2); UTF-8 replaces unsupported character sets."""
    if "SpecificCharacterSet" not in header:
        return
    element = header["SpecificCharacterSet"]
    names = [str(name or "") for name in (element.value if element.VM > 1 else [element.value])]
    del header["SpecificCharacterSet"]
    if len(names) == 1:
        names[0] = names[0].replace("ISO 2022 IR", "ISO_IR")  # a single set needs no code extensions
    else:
        names[0] = names[0] or "ISO 2022 IR 6"
    if names not in ([""], ["ISO_IR 6"]):
        header.SpecificCharacterSet = names if _are_supported(names) else "ISO_IR 192"


def _are_supported(names: list[str]) -> bool:
    if len(names) > 1 and (names[0] in MULTI_BYTE_EXTENSIONS or not all(name.startswith("ISO 2022") for name in names)):
        return False
    return {*names} <= _SUPPORTED_CHARACTER_SETS
