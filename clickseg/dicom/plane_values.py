"""Attributes of all planes of a series as text, in order to compare the planes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pydicom import Dataset

from clickseg.dicom.conversion import READ_ERRORS, ConversionCache
from clickseg.dicom.planes import Plane, functional_groups

PlaneValues = dict[str, list[str]]
"""By keyword, the value of an attribute in each plane; empty if it is absent, has no value or cannot be read."""


def read_plane_values(planes: Sequence[Plane], keywords: tuple[str, ...]) -> PlaneValues:
    """Returns attributes of each plane.

    Args:
        planes: The planes.
        keywords: The attributes; in a multi-frame image, at any depth of its functional groups.
    """
    conversions = ConversionCache(keywords)
    frames = _read_frames(planes)
    values: PlaneValues = {keyword: [] for keyword in keywords}
    for plane in planes:
        attributes = frames.get(id(plane))
        for keyword, texts in values.items():
            if attributes is None:
                texts.append(_read_text(plane.instance.header, keyword, conversions))
            else:
                texts.append(attributes.get(keyword, ""))
    return values


def read_functional_group_values(planes: Sequence[Plane]) -> PlaneValues:
    """Returns all standard attributes of the functional groups of multi-frame images (PS3.3, C.7.6.16).

    Attributes come first, then whole sequences, such as Diffusion b-matrix Sequence, whose attributes may distinguish
    frames only together.

    Args:
        planes: The planes; single-frame images have no functional groups.
    """
    frames = _read_frames(planes)
    keywords = {keyword: None for attributes in frames.values() for keyword in attributes}
    ordered = sorted(keywords, key=lambda keyword: keyword.endswith("Sequence"))
    return {keyword: [frames.get(id(plane), {}).get(keyword, "") for plane in planes] for keyword in ordered}


def _read_frames(planes: Sequence[Plane]) -> dict[int, dict[str, str]]:
    """Returns the attributes of each frame of multi-frame images, by the id of the plane and by keyword."""
    shared: dict[int, dict[str, str]] = {}
    frames: dict[int, dict[str, str]] = {}
    for plane in planes:
        if plane.frame_number is not None:
            header = plane.instance.header
            if id(header) not in shared:
                shared[id(header)] = _flatten(header.get("SharedFunctionalGroupsSequence") or [])
            groups = functional_groups(header, plane.frame_number)
            own = groups[:1] if header.get("PerFrameFunctionalGroupsSequence") else ()
            frames[id(plane)] = shared[id(header)] | _flatten(own)
    return frames


def _flatten(items: Sequence[Dataset]) -> dict[str, str]:
    """Returns the attributes of items and of their sequences at any depth, by keyword.

    If a keyword occurs at several places, such as Code Value, its texts are joined.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for item in items:
        for keyword, text in _walk(item):
            texts[keyword].append(text)
    return {keyword: " ".join(parts) for keyword, parts in texts.items()}


def _walk(item: Dataset) -> Iterator[tuple[str, str]]:
    """Yields keyword and text of each standard attribute of an item; a sequence follows its attributes."""
    for element in item:
        if element.tag.is_private or not element.keyword:
            continue
        if element.VR != "SQ":
            yield element.keyword, _to_text(element.value)
            continue
        parts = [part for member in element.value or () for part in _walk(member)]
        yield from parts
        leaves = (f"{keyword}={text}" for keyword, text in parts if not keyword.endswith("Sequence"))
        yield element.keyword, ", ".join(leaves)


def _read_text(header: Dataset, keyword: str, conversions: ConversionCache) -> str:
    try:
        return _to_text(conversions.value(header, keyword))
    except READ_ERRORS:
        return ""


def _to_text(value: object) -> str:
    return "" if value is None else str(value).strip()
