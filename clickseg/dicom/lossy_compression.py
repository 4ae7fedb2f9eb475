"""Combines the attributes of lossy compression of all sources, for the SEG that is derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

from clickseg.dicom.conversion import READ_ERRORS

_LOSSY = ("01", "1", "YES")
"""Lossy Image Compression (0028,2110) of a compressed image: 01, or an invalid term with the same meaning."""

_DETAILS = {"LossyImageCompressionRatio": "DS", "LossyImageCompressionMethod": "CS"}


def set_lossy_compression(headers: Sequence[Dataset]) -> None:
    """Sets Lossy Image Compression in the first header, from which the SEG copies it, to that of all sources.

    It is 01 if a source was ever compressed with loss (PS3.3, C.7.6.1.1.5). Ratio and method are those of the first
    such source; they are omitted if they are empty or invalid.

    Args:
        headers: The headers of a series; the elements of the first are replaced.
    """
    first = headers[0]
    lossy = [header for header in headers if _text(header, "LossyImageCompression") in _LOSSY]
    if not lossy and "LossyImageCompression" not in first:
        return
    attributes = Dataset()
    attributes.LossyImageCompression = "01" if lossy else "00"
    for keyword, vr in _DETAILS.items():
        values = next(filter(None, (_valid_values(header, keyword, vr) for header in lossy)), [])
        if values:
            setattr(attributes, keyword, values)
    for keyword in _DETAILS:
        first.pop(keyword, None)
    first.update(attributes)


def _text(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip().upper()
    except READ_ERRORS:
        return ""


def _valid_values(header: Dataset, keyword: str, vr: str) -> list[str]:
    """Returns the values of an attribute; no values if one of them is empty or invalid."""
    try:
        value: Any = header.get(keyword)
        values = [str(item) for item in (value if isinstance(value, MultiValue) else [value]) if item is not None]
        for text in values:
            validate_value(vr, text, RAISE)
    except READ_ERRORS:
        return []
    return values if all(values) else []
