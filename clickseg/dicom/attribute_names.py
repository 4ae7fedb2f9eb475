"""Names of attributes in messages."""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword


def name_with_tag(keyword: str) -> str:
    """Returns a keyword of PS3.6 with its tag, such as ``Rows (0028,0010)``; other names are unchanged."""
    tag = tag_for_keyword(keyword)
    return keyword if tag is None else f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
