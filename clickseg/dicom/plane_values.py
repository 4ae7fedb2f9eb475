"""Attributes of all planes of a series as text, in order to compare the planes."""

from __future__ import annotations

from collections.abc import Sequence

from clickseg.dicom.part10 import READ_ERRORS, ConversionCache
from clickseg.dicom.planes import Plane

PlaneValues = dict[str, list[str]]
"""By keyword, the value of an attribute in each plane."""


def read_plane_values(planes: Sequence[Plane], keywords: tuple[str, ...]) -> PlaneValues:
    """Returns attributes as text for each plane; empty if an attribute is absent, has no value or cannot be read.

    Args:
        planes: The planes.
        keywords: The attributes.
    """
    conversions = ConversionCache(keywords)
    return {keyword: [_read_text(plane, keyword, conversions) for plane in planes] for keyword in keywords}


def _read_text(plane: Plane, keyword: str, conversions: ConversionCache) -> str:
    is_single = plane.frame_number is None
    try:
        value = conversions.value(plane.instance.header, keyword) if is_single else plane.get(keyword)
    except READ_ERRORS:
        return ""
    return "" if value is None else str(value).strip()
