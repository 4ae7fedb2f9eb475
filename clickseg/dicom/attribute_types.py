"""Types (PS3.5, 7.4) of the attributes of patient and study, which SEG and SR copy from a source, and their conditions.

A copied attribute of type 1 or 1C must have a value, and one of type 2 must be present. Sources often violate this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from highdicom._standard_utils import get_module_attribute_map
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.tag import BaseTag

_TRIAL_SUBJECT, _TRIAL_STUDY = "clinical-trial-subject", "clinical-trial-study"
_MODULES = (_TRIAL_STUDY, _TRIAL_SUBJECT, "general-study", "patient", "patient-study")
"""The modules of PS3.3, C.7.1 and C.7.2, as highdicom names them."""

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

SequencePath = tuple[str, ...]
"""The keywords of nested sequences, from the outermost; empty for the root of a data set."""


@cache
def attribute_types(path: SequencePath = ()) -> Mapping[str, str]:
    """Returns the types of the copied attributes, by keyword.

    Args:
        path: The sequences in whose items the attributes are.
    """
    modules = get_module_attribute_map()
    return {
        str(item["keyword"]): str(item["type"])
        for name in _MODULES
        for item in modules[name]
        if tuple(item["path"]) == path
    }


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


def missing_type_2_keywords(header: Dataset) -> tuple[str, ...]:
    """Returns the attributes of type 2 and 2C that a header lacks: of its clinical trial, and of an animal."""
    required = [
        keyword
        for module in (_TRIAL_STUDY, _TRIAL_SUBJECT)
        if any(keyword in header for keyword in _module_keywords(module))
        for keyword in _module_keywords(module)
        if attribute_types()[keyword] == "2"
    ]
    if any(header.get(keyword) for keyword in _SPECIES):
        required += _ANIMAL_2C
    return tuple(keyword for keyword in required if keyword not in header)


def _is_satisfied(keyword: str, values: set[str]) -> bool:
    """Whether the attributes that an attribute needs have values. ``ResponsiblePerson`` may be empty: type 2C."""
    if keyword in _module_keywords(_TRIAL_SUBJECT):
        return all(not values.isdisjoint(group) for group in _NEEDED_FOR_TRIAL)
    if keyword == "ResponsiblePerson" and keyword not in values:
        return True
    return keyword not in _NEEDED_KEYWORDS or not values.isdisjoint(_NEEDED_KEYWORDS[keyword])


@cache
def _module_keywords(module: str) -> frozenset[str]:
    return frozenset(str(item["keyword"]) for item in get_module_attribute_map()[module] if not item["path"])
