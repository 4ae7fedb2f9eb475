"""Source headers as the writers of derived objects need them, and a digest of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import highdicom as hd
from pydicom import DataElement, Dataset
from pydicom import Sequence as DicomSequence
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import DA, DT, TM, format_number_as_ds, validate_value

from clickseg.dicom.codes import MULTI_FRAME, content_digest
from clickseg.dicom.part10 import READ_ERRORS
from clickseg.dicom.planes import Plane, frame_attribute
from clickseg.dicom.stack import Stack

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

_COPIED_GROUPS = (0x0008, 0x0010, 0x0012, 0x0032, 0x0038, 0x0040)
_COPIED = ("PositionReferenceIndicator", "SeriesNumber", "StudyID")
_TEXT = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
_MOMENTS: Mapping[str, Callable[[str], object]] = {"DA": DA, "DT": DT, "TM": TM}
_IDENTITY = ("PatientID", "PatientName")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_PER_FRAME = 0x52009230
_CHARACTER_SETS = frozenset(name.value for name in hd.SpecificCharacterSetValues)


def reference_headers(stack: Stack) -> tuple[Dataset, ...]:
    """Returns copies of a series' headers from which SEG and SR can be made, in the order of its planes.

    All share the orientation and the pixel measures that the stack was found to have. The first, from which patient and
    study are copied, has what a conformant image would have with an empty value; a value that breaks the rules of its
    attribute is left out with a warning; and its Specific Character Set is one that the writers know.
    """
    instances = {id(plane.instance): plane.instance for plane in stack.planes}
    if stack.planes[0].frame_number is None:
        common = _measures(stack)
        common.update(_orientation(stack))
        headers = tuple(_with_common(instance.header, common) for instance in instances.values())
    else:
        headers = tuple(_with_groups(instance.header, stack) for instance in instances.values())
    _complete(headers[0])
    return headers


def source_digest(headers: Sequence[Dataset]) -> bytes:
    """Returns a digest of all that SEG and SR take from headers by ``reference_headers``.

    It covers all standard attributes of the first header, from which patient, study and equipment are copied, and for
    each header the UIDs and the positions of the frames.
    """
    elements = {
        tag: element
        for tag, element in headers[0].items()
        if not tag.is_private and tag != _PER_FRAME  # one item for each frame
    }
    first = deepcopy(Dataset(elements))  # decoding would change items that the copies share with the source
    uids = (str(header.get(keyword)) for header in headers for keyword in _UIDS)
    positions = (str(position) for header in headers for position in _positions(header))
    return content_digest(_dataset_digest(first), content_digest(*uids), content_digest(*positions))


def _positions(header: Dataset) -> Iterator[Any]:
    """Yields Image Position (Patient) of each frame."""
    is_multi_frame = header.SOPClassUID in MULTI_FRAME
    numbers = range(1, int(header.NumberOfFrames) + 1) if is_multi_frame else (None,)
    for number in numbers:
        yield frame_attribute(header, number, "ImagePositionPatient")


def _dataset_digest(dataset: Dataset) -> bytes:
    return content_digest(*(part for tag in sorted(dataset.keys()) for part in (str(tag), _value_digest(dataset, tag))))


def _value_digest(dataset: Dataset, tag: BaseTag) -> bytes:
    """Returns a digest of the value of an attribute; of its bytes where it cannot be decoded."""
    raw = dataset.get_item(tag).value
    try:
        element = dataset[tag]
        values = element.value if isinstance(element.value, (MultiValue, DicomSequence)) else [element.value]
        return content_digest(str(element.VR), *_contents(values))
    except READ_ERRORS:
        return content_digest("undecodable", raw if isinstance(raw, bytes) else b"")


def _contents(values: Iterable[Any]) -> Iterator[str | bytes]:
    """Yields what determines each of the values of an attribute."""
    for value in values:
        if isinstance(value, Dataset):
            yield _dataset_digest(value)
        else:
            yield value if isinstance(value, bytes) else str(value)


def _copy(header: Dataset) -> Dataset:
    """Returns a copy that shares its elements with the source: they are replaced in it, never changed."""
    return Dataset(dict(header.items()))


def _with_common(header: Dataset, common: Dataset) -> Dataset:
    """Returns a copy of a single-frame header with what all planes of the stack have in common."""
    copy = _copy(header)
    copy.pop("SpacingBetweenSlices", None)  # where planes were resampled they have none
    copy.update(common)
    return copy


def _with_groups(header: Dataset, stack: Stack) -> Dataset:
    """Returns a copy of a multi-frame header with what all of its frames have in common."""
    copy, groups = _copy(header), Dataset()
    groups.SharedFunctionalGroupsSequence = [_shared_groups(header, stack)]
    copy.update(groups)
    return copy


def _complete(header: Dataset) -> None:
    for keyword in _IDENTITY:
        if keyword in header and dictionary_VR(keyword) != header[keyword].VR:
            header[keyword] = DataElement(keyword, dictionary_VR(keyword), str(header[keyword].value))
    for tag in list(_undefined(header)):
        name = keyword_for_tag(tag) or str(tag)
        logger.warning("%s of the source breaks the rules of its value representation: not in the result", name)
        del header[tag]
    for keyword in _TYPE_2:
        if keyword not in header:
            setattr(header, keyword, "")
        elif header[keyword].VM > 1:
            logger.warning("%s of the source has several values: the first is in the result", keyword)
            header[keyword] = DataElement(keyword, header[keyword].VR, header[keyword].value[0])
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
    measures.SliceThickness = _thickness(plane) or spacing
    if not stack.is_resampled:
        measures.SpacingBetweenSlices = spacing
    return measures


def _thickness(plane: Plane) -> str | None:
    """Returns Slice Thickness (0018,0050), where it is one."""
    try:
        thickness = float(plane.get("SliceThickness") or 0)
    except READ_ERRORS:
        return None
    return format_number_as_ds(thickness) if 0 < thickness < float("inf") else None


def _undefined(header: Dataset) -> Iterator[BaseTag]:
    """Yields the attributes of patient and study whose values break the rules of their value representation.

    Patient ID and name are not among them: they identify the patient whatever they look like. All are decoded on the
    way, while the character set is still that of the source.
    """
    for tag in list(header.keys()):
        if tag.group in _COPIED_GROUPS or keyword_for_tag(tag) in _COPIED:
            try:
                is_defined = _is_defined(header[tag])
            except READ_ERRORS:
                is_defined = False
            if not is_defined:
                yield tag


def _is_defined(element: DataElement) -> bool:
    values = element.value if element.VM > 1 else [element.value]
    if element.keyword in _IDENTITY:
        return True
    if element.keyword and element.VR not in dictionary_VR(element.tag):
        return False
    if element.keyword == "PatientSex":
        return all(value in (None, "", "M", "F", "O") for value in values)
    if element.VR in _TEXT and element.keyword:
        for value in values:
            text = "" if value is None else str(value)
            validate_value(element.VR, text, RAISE)
            _MOMENTS.get(element.VR, str)(text)  # 31 February has the form of a date
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
