"""Converts attribute values from bytes; values that are equal in all files of a series are converted once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Hashable
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import BaseTag

PARSE_ERRORS = (
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Exceptions that pydicom raises for a damaged file, as measured: pydicom has no error class for this case."""

READ_ERRORS = (*PARSE_ERRORS, OSError)
"""``PARSE_ERRORS`` and OSError: pydicom raises an OSError without a number if a sequence ends too early."""

_CHARACTER_SET_TAG = BaseTag(0x00080005)
_PIXEL_VR_KEYWORDS = ("PixelPaddingRangeLimit", "PixelPaddingValue")
"""Attributes whose value representation in implicit VR depends on Pixel Representation (0028,0103)."""


class ConversionCache:
    """A cache of converted attributes: equal bytes are converted once, even if they are in several files.

    pydicom keeps an attribute as bytes until it is accessed, and needs more time for the conversion than for all other
    work on a file. Headers share converted elements, so an element must be replaced, never changed in place.
    """

    def __init__(self, keywords: tuple[str, ...]) -> None:
        """Creates an empty cache.

        Args:
            keywords: The attributes that will be converted.
        """
        self._tags = {keyword: BaseTag(tag_for_keyword(keyword) or 0) for keyword in keywords}
        self._elements: dict[Hashable, DataElement] = {}

    def value(self, header: Dataset, keyword: str) -> Any:
        """Returns the value of an attribute; None if the attribute is absent.

        Raises:
            Exception: pydicom cannot convert the value; see ``READ_ERRORS``.
        """
        tag = self._tags[keyword]
        element = header.get_item(tag)
        if isinstance(element, RawDataElement) and not (element.VR is None and keyword in _PIXEL_VR_KEYWORDS):
            return self._convert(header, tag, element).value
        return None if element is None else header[tag].value

    def _convert(self, header: Dataset, tag: BaseTag, raw: RawDataElement) -> DataElement:
        character_set = header.get(_CHARACTER_SET_TAG)
        raw_key = (raw.tag, raw.VR, raw.length, raw.value, raw.is_implicit_VR, raw.is_little_endian)
        key = (*raw_key, str(character_set.value) if character_set is not None else "")
        cached = self._elements.get(key)
        if cached is not None:
            header[tag] = cached
            return cached
        element: DataElement = header[tag]
        if element.VR != "SQ":  # items of a sequence can be changed, and refer to their parent
            self._elements[key] = element
        return element
