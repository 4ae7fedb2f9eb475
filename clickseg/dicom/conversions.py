"""Converting attributes once that all files of a series have in common."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

_CHARACTER_SET = BaseTag(0x00080005)
_BY_THE_PIXELS = ("PixelPaddingRangeLimit", "PixelPaddingValue")
"""Without a value representation of their own they have that of the pixels, which another attribute tells."""


class Conversions:
    """Attributes as they were converted before: the same bytes are converted once, for whatever files they stand in.

    pydicom keeps an attribute as bytes until it is asked for, and takes more time for its conversion than for all else
    in a file. The headers then share what was converted, so their elements are replaced where they differ, and never
    changed.
    """

    def __init__(self, keywords: tuple[str, ...]) -> None:
        """Makes an empty collection.

        Args:
            keywords: The attributes that will be converted.
        """
        self._tags = {keyword: BaseTag(tag_for_keyword(keyword) or 0) for keyword in keywords}
        self._known: dict[Hashable, DataElement] = {}

    def value(self, header: Dataset, keyword: str) -> Any:
        """Returns the value of an attribute, None where there is none.

        Raises:
            Exception: What pydicom raises where it cannot be converted; see ``part10.READ_ERRORS``.
        """
        tag = self._tags[keyword]
        element = header.get_item(tag)
        if isinstance(element, RawDataElement) and not (element.VR is None and keyword in _BY_THE_PIXELS):
            return self._converted(header, tag, element).value
        return None if element is None else header[tag].value

    def _converted(self, header: Dataset, tag: BaseTag, raw: RawDataElement) -> DataElement:
        encoding = header.get(_CHARACTER_SET)
        written = (raw.tag, raw.VR, raw.length, raw.value, raw.is_implicit_VR, raw.is_little_endian)
        key = (*written, str(encoding.value) if encoding is not None else "")
        known = self._known.get(key)
        if known is not None:
            header[tag] = known
            return known
        element: DataElement = header[tag]
        if element.VR != "SQ":  # its items could be changed, and know whose they are
            self._known[key] = element
        return element
