"""Attributes of a specimen (PS3.3, C.7.6.22), as in micro-CT, and of positions on a microscope slide."""

from __future__ import annotations

from pydicom import Dataset

_SLIDE_KEYWORDS = ("ImageCenterPointCoordinatesSequence", "ImageOrientationSlide")
"""Attributes with which highdicom takes an image as one of a microscope slide."""

_SPECIMEN_KEYWORDS = (
    "AlternateContainerIdentifierSequence",
    "ContainerComponentSequence",
    "ContainerDescription",
    "ContainerIdentifier",
    "ContainerTypeCodeSequence",
    "IssuerOfTheContainerIdentifierSequence",
    "SpecimenDescriptionSequence",
)
_REQUIRED_KEYWORDS = (
    "ContainerIdentifier",
    "ContainerTypeCodeSequence",
    "IssuerOfTheContainerIdentifierSequence",
    "SpecimenDescriptionSequence",
)
_REQUIRED_ITEM_KEYWORDS = (
    "IssuerOfTheSpecimenIdentifierSequence",
    "SpecimenIdentifier",
    "SpecimenPreparationSequence",
    "SpecimenUID",
)


def pop_invalid_specimen(header: Dataset) -> bool:
    """Removes positions on a slide, and the description of a specimen if it is incomplete.

    Args:
        header: A copy of the header of an image; changed in place.

    Returns:
        Whether an incomplete description was removed.
    """
    for keyword in _SLIDE_KEYWORDS:
        header.pop(keyword, None)
    present = [keyword for keyword in _SPECIMEN_KEYWORDS if keyword in header]
    if not present or _is_complete(header):
        return False
    for keyword in present:
        header.pop(keyword)
    return True


def _is_complete(header: Dataset) -> bool:
    specimens = header.get("SpecimenDescriptionSequence")
    return (
        all(keyword in header for keyword in _REQUIRED_KEYWORDS)
        and bool(header.ContainerIdentifier and specimens)
        and all(keyword in item for item in specimens for keyword in _REQUIRED_ITEM_KEYWORDS)
        and all(item.SpecimenIdentifier and item.SpecimenUID for item in specimens)
    )
