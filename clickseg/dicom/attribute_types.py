"""Types (PS3.5, 7.4) of the attributes of patient and study, which SEG and SR copy from a source, and their conditions.

A copied attribute of type 1 or 1C must have a value, and one of type 2 must be present. Sources often violate this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.tag import BaseTag

from clickseg.dicom.attribute_tables import (
    CLINICAL_TRIAL_STUDY,
    CLINICAL_TRIAL_SUBJECT,
    CODE,
    GENERAL_STUDY,
    ITEMS,
    PATIENT,
    PATIENT_STUDY,
    KeywordsByType,
)

_MODULES = (CLINICAL_TRIAL_STUDY, CLINICAL_TRIAL_SUBJECT, GENERAL_STUDY, PATIENT, PATIENT_STUDY)

_SPECIES = ("PatientSpeciesDescription", "PatientSpeciesCodeSequence")
_ANIMAL_2C = (
    "BreedRegistrationSequence",
    "PatientBreedCodeSequence",
    "PatientBreedDescription",
    "PatientSexNeutered",
    "ResponsibleOrganization",
    "ResponsiblePerson",
)
"""Attributes that are required, even if empty, if the patient is an animal."""

_STRAIN = (
    "GeneticModificationsSequence",
    "StrainAdditionalInformation",
    "StrainCodeSequence",
    "StrainDescription",
    "StrainNomenclature",
    "StrainStockSequence",
)
_CALENDAR_DATES = ("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar")
_DEIDENTIFICATION = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")

_NEEDED_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*_ANIMAL_2C[:3], *_STRAIN), _SPECIES),
    **dict.fromkeys(_CALENDAR_DATES, ("PatientAlternativeCalendar",)),
    "LongitudinalTemporalEventType": ("LongitudinalTemporalOffsetFromEvent",),
    "LongitudinalTemporalOffsetFromEvent": ("LongitudinalTemporalEventType",),
    "PatientAlternativeCalendar": _CALENDAR_DATES,
    "PatientIdentityRemoved": _DEIDENTIFICATION,
    "ResponsiblePerson": ("ResponsiblePersonRole",),
    "ResponsiblePersonRole": ("ResponsiblePerson",),
}
"""Attributes that are valid only if one of the others has a value (conditions of type 1C)."""

_NEEDED_FOR_TRIAL = (
    ("ClinicalTrialSponsorName",),
    ("ClinicalTrialProtocolID",),
    ("ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID"),
)
"""Of each group, one attribute is required in the Clinical Trial Subject Module (PS3.3, C.7.1.3)."""


@cache
def attribute_types() -> Mapping[str, str]:
    """Returns the types of the copied attributes, by keyword."""
    return {keyword: kind for module in _MODULES for keyword, kind in _types(module).items()}


@cache
def item_attribute_types(sequence: str) -> Mapping[str, str]:
    """Returns the types of the attributes in the items of a sequence, by keyword; empty for an unknown sequence.

    Args:
        sequence: The keyword of the sequence.
    """
    return _types(CODE if sequence.endswith("CodeSequence") else ITEMS.get(sequence, {}))


def _types(keywords_by_type: KeywordsByType) -> Mapping[str, str]:
    return {keyword: kind for kind, keywords in keywords_by_type.items() for keyword in keywords.split()}


def is_empty(element: DataElement) -> bool:
    """Whether an attribute has no value, or a sequence no item."""
    return not element.value if element.VR == "SQ" else element.is_empty


def empty_tags(header: Dataset) -> Iterator[BaseTag]:
    """Yields the copied attributes that are empty, but must have a value if present: types 1 and 1C, sequences."""
    for keyword, kind in attribute_types().items():
        must_have_value = kind in ("1", "1C") or (kind == "3" and dictionary_VR(keyword) == "SQ")
        if keyword in header and must_have_value and is_empty(header[keyword]):
            yield header[keyword].tag


def unsatisfied_keywords(header: Dataset) -> tuple[str, ...]:
    """Returns the copied attributes that are valid only together with others, which have no value."""
    present = [keyword for keyword in attribute_types() if keyword in header]
    values = {keyword for keyword in present if not is_empty(header[keyword])}
    if header.get("PatientIdentityRemoved") != "YES":
        values.add(_DEIDENTIFICATION[0])  # not needed
    omitted: list[str] = []
    while new := [keyword for keyword in present if keyword not in omitted and not _is_satisfied(keyword, values)]:
        omitted += new
        values -= {*new}
    return tuple(omitted)


def required_type_2_keywords(header: Dataset) -> tuple[str, ...]:
    """Returns the attributes of type 2 and 2C that a header must have: of its clinical trial, and of an animal."""
    required: list[str] = []
    for module in map(_types, (CLINICAL_TRIAL_STUDY, CLINICAL_TRIAL_SUBJECT)):
        if any(keyword in header for keyword in module):
            required += [keyword for keyword, kind in module.items() if kind == "2"]
    if any(header.get(keyword) for keyword in _SPECIES):
        required += _ANIMAL_2C
    return tuple(required)


def _is_satisfied(keyword: str, values: set[str]) -> bool:
    """Whether the attributes that an attribute needs have values. ``ResponsiblePerson`` may be empty: type 2C."""
    if keyword in _types(CLINICAL_TRIAL_SUBJECT):
        return all(not values.isdisjoint(group) for group in _NEEDED_FOR_TRIAL)
    if keyword == "ResponsiblePerson" and keyword not in values:
        return True
    return keyword not in _NEEDED_KEYWORDS or not values.isdisjoint(_NEEDED_KEYWORDS[keyword])
