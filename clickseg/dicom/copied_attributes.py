"""Finds the invalid attributes of a source among those that SEG and SR copy.

highdicom copies the attributes of the patient and the study (PS3.3, C.7.1 and C.7.2), and those of the equipment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy

from pydicom import DataElement, Dataset
from pydicom import Sequence as DicomSequence
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.tag import BaseTag
from pydicom.valuerep import DA, DT, TM, validate_value

from clickseg.dicom.attribute_types import attribute_types, is_empty, item_attribute_types
from clickseg.dicom.character_sets import FREE_TEXT_VRS, are_characters_valid, character_codecs
from clickseg.dicom.conversion import READ_ERRORS

PATIENT_ID_KEYWORDS = ("PatientID", "PatientName")
"""Attributes that are never invalid: any value identifies the patient."""

_COPIED_GROUPS = (0x0008, 0x0010, 0x0012, 0x0032, 0x0038, 0x0040)
_COPIED_KEYWORDS = ("DeviceSerialNumber", "PositionReferenceIndicator", "SeriesNumber", "SoftwareVersions", "StudyID")
_TEXT_VRS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
_DATE_TIME_PARSERS: Mapping[str, Callable[[str], object]] = {"DA": DA, "DT": DT, "TM": TM}
_ENUMERATED_VALUES: Mapping[str, tuple[object, ...]] = {
    "ConsentForDistributionFlag": ("NO", "YES", "WITHDRAWN"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "PatientSex": ("M", "F", "O"),
    "PatientSexNeutered": ("ALTERED", "UNALTERED"),
    "PregnancyStatus": (1, 2, 3, 4),
    "QualityControlSubject": ("YES", "NO"),
    "SmokingStatus": ("YES", "NO", "UNKNOWN"),
}
"""The only values of an attribute that PS3.3 allows (C.7.1, C.7.2)."""

_SINGLE_ITEM_SEQUENCES = (
    "AssigningAgencyOrDepartmentCodeSequence",
    "AssigningFacilitySequence",
    "AssigningJurisdictionCodeSequence",
    "InstitutionCodeSequence",
    "IssuerOfAccessionNumberSequence",
    "IssuerOfAdmissionIDSequence",
    "IssuerOfPatientIDQualifiersSequence",
    "IssuerOfServiceEpisodeIDSequence",
    "RequestingServiceCodeSequence",
    "SourcePatientGroupIdentificationSequence",
)
"""Sequences that can have only one item (PS3.3, C.7.1, C.7.2, 10.1, 10.14)."""

_CODE_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")


def invalid_tags(header: Dataset) -> Iterator[BaseTag]:
    """Yields the copied attributes whose values are invalid for their value representation, type or character set.

    All attributes are decoded here, before the character set of the source is replaced.
    """
    codecs = character_codecs(header)
    for tag in list(header.keys()):
        if tag.group in _COPIED_GROUPS or keyword_for_tag(tag) in _COPIED_KEYWORDS:
            try:
                is_valid = _is_valid(header[tag], codecs) and _has_valid_structure(header[tag], codecs)
            except READ_ERRORS:
                is_valid = False
            if not is_valid:
                yield tag


def _is_valid(element: DataElement, codecs: Sequence[str]) -> bool:
    values = element.value if element.VM > 1 else [element.value]
    if element.keyword in PATIENT_ID_KEYWORDS:
        return True
    if element.keyword and element.VR not in dictionary_VR(element.tag):
        return False
    if element.keyword == "SpecificCharacterSet":
        return True  # replaced by a valid one
    if element.keyword in _ENUMERATED_VALUES:
        return all(value in (None, "", *_ENUMERATED_VALUES[element.keyword]) for value in values)
    if element.VR in _TEXT_VRS and element.keyword:
        for value in values:
            text = "" if value is None else str(value)
            validate_value(element.VR, text, RAISE)
            _DATE_TIME_PARSERS.get(element.VR, str)(text)  # 31 February has the format of a date
            if element.VR in FREE_TEXT_VRS and not are_characters_valid(text, element.VR, codecs):
                return False
    return True


def _has_valid_structure(element: DataElement, codecs: Sequence[str]) -> bool:
    """Whether an attribute has the number of values that the standard defines, and valid items.

    Of attributes of type 2, the first value is used. Only the items of attributes of patient and study are checked.
    """
    kind = attribute_types().get(element.keyword)
    if isinstance(element.value, DicomSequence):
        return kind is None or _are_items_valid(element, codecs)
    return kind == "2" or _has_valid_multiplicity(element)


def _has_valid_multiplicity(element: DataElement) -> bool:
    multiplicity = dictionary_VM(element.tag) if element.keyword else ""
    return not multiplicity.isdigit() or element.VM in (0, int(multiplicity))


def _are_items_valid(sequence: DataElement, codecs: Sequence[str]) -> bool:
    items = deepcopy(sequence.value)  # decoding would change items that are shared with the source
    types = item_attribute_types(sequence.keyword)
    if len(items) > 1 and sequence.keyword in _SINGLE_ITEM_SEQUENCES:
        return False
    return all(_is_item_valid(item, types, codecs) for item in items)


def _is_item_valid(item: Dataset, types: Mapping[str, str], codecs: Sequence[str]) -> bool:
    """Whether an item has its required attributes, and all its values are valid."""
    values = {element.keyword for element in item if not is_empty(element)}
    required = {keyword for keyword, kind in types.items() if kind == "1"}
    if "CodeMeaning" in required and not values.isdisjoint(_CODE_VALUES[:2]):
        required.add("CodingSchemeDesignator")
    if "UniversalEntityID" in values:
        required.add("UniversalEntityIDType")
    if not required <= values or (types and values.isdisjoint(types)):
        return False
    if "CodeMeaning" in required and values.isdisjoint(_CODE_VALUES):
        return False
    if "UniversalEntityIDType" in types and not _is_issuer_valid(values, types):
        return False
    return all(
        _may_be_empty(element, types) if is_empty(element) else _is_nested_value_valid(element, codecs)
        for element in item
    )


def _is_issuer_valid(values: set[str], types: Mapping[str, str]) -> bool:
    """Whether an issuer has an ID (PS3.3, 10.14); its type is valid only together with a universal ID."""
    needs_id = "LocalNamespaceEntityID" in types
    has_id = not values.isdisjoint(("LocalNamespaceEntityID", "UniversalEntityID"))
    return (has_id or not needs_id) and ("UniversalEntityID" in values or "UniversalEntityIDType" not in values)


def _may_be_empty(element: DataElement, types: Mapping[str, str]) -> bool:
    kind = types.get(element.keyword)
    return kind != "1C" and not (kind == "3" and element.VR == "SQ")


def _is_nested_value_valid(element: DataElement, codecs: Sequence[str]) -> bool:
    if isinstance(element.value, DicomSequence):
        return _are_items_valid(element, codecs)
    if element.VR == "UI":
        validate_value("UI", str(element.value), RAISE)
    return _has_valid_multiplicity(element) and _is_valid(element, codecs)
