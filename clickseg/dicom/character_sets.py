"""Checks that text is in the characters that Specific Character Set (0008,0005) declares (PS3.5, 6.1)."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence

from pydicom import Dataset
from pydicom.charset import convert_encodings

FREE_TEXT_VRS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
"""Value representations in the characters of Specific Character Set (PS3.5, 6.1.2.2)."""

_PARAGRAPH_VRS = ("LT", "ST", "UT")
_PARAGRAPH_CONTROLS = "\t\n\f\r"
"""Control characters that are valid only in the value representations of paragraphs (PS3.5, 6.1.3)."""

_REPLACEMENT_CHARACTER = "\ufffd"
"""Replaces bytes that cannot be decoded."""


def character_codecs(header: Dataset) -> tuple[str, ...]:
    """Returns the Python codecs of the characters that a data set can contain; ASCII without a known character set."""
    value = header.get("SpecificCharacterSet")
    names = [value] if value is None or isinstance(value, str) else list(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of an unknown name when it decodes the data set
        codecs = convert_encodings([str(name or "") for name in names])
    return tuple("ascii" if codec == "iso8859" else codec for codec in codecs)


def are_characters_valid(text: str, vr: str, codecs: Sequence[str]) -> bool:
    """Whether text has no control characters and no characters outside its character set.

    Args:
        text: The decoded text.
        vr: The value representation.
        codecs: The Python codecs of the character set, made by ``character_codecs``.
    """
    controls = _PARAGRAPH_CONTROLS if vr in _PARAGRAPH_VRS else ""
    return _REPLACEMENT_CHARACTER not in text and all(
        character in controls if unicodedata.category(character) == "Cc" else _is_encodable(character, codecs)
        for character in set(text)
    )


def character_problem(header: Dataset, keyword: str) -> str:
    """Returns the problem of a name or ID that its character set cannot contain, for a warning; empty without one."""
    text = str(header.get(keyword) or "")
    if _REPLACEMENT_CHARACTER in text:
        return "contains bytes that are invalid in its character set: they are replaced by U+FFFD in the result"
    if not are_characters_valid(text, "PN", character_codecs(header)):
        return "contains characters outside its character set, and is copied without a check"
    return ""


def _is_encodable(character: str, codecs: Sequence[str]) -> bool:
    if character.isascii():
        return True
    for codec in codecs:
        try:
            encoded = character.encode(codec)
        except UnicodeEncodeError:
            continue
        if codec != "shift_jis" or len(encoded) == 1:  # ISO_IR 13 has the characters of one byte only
            return True
    return False
