"""Checks that text is in the characters that Specific Character Set (0008,0005) declares (PS3.5, 6.1)."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.valuerep import validate_value

FREE_TEXT_VRS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
"""Value representations in the characters of Specific Character Set (PS3.5, 6.1.2.2)."""

_PARAGRAPH_VRS = ("LT", "ST", "UT")
_PARAGRAPH_CONTROLS = "\t\n\f\r"
"""Control characters that are valid only in the value representations of paragraphs (PS3.5, 6.1.3)."""

_ESCAPE_TO_GB2312 = "\x1b$)A"
_REPLACEMENT_CHARACTER = "\ufffd"
"""Replaces bytes that cannot be decoded."""


MULTI_BYTE_EXTENSIONS = ("ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 159")
"""Character sets that must not be the first of several (PS3.3, C.12.1.1.2)."""


def complete_character_set(header: Dataset) -> None:
    """Adds the default character set before one that must not be the first, as some scanners write it.

    Otherwise, the delimiters of names could not be decoded, because they are in the default character set.

    Args:
        header: The header of a file; Specific Character Set (0008,0005) is changed in place.
    """
    names = _character_set_names(header)
    if names[0] in MULTI_BYTE_EXTENSIONS:
        is_implicit_vr, is_little_endian = header.original_encoding
        header.set_original_encoding(is_implicit_vr, is_little_endian, convert_encodings(["", *names]))
        header.SpecificCharacterSet = ["", *names]


def _character_set_names(header: Dataset) -> list[str]:
    value = header.get("SpecificCharacterSet")
    return [str(name or "") for name in ([value] if value is None or isinstance(value, str) else value)] or [""]


def character_codecs(header: Dataset) -> tuple[str, ...]:
    """Returns the Python codecs of the characters that a data set can contain; ASCII without a known character set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of an unknown name when it decodes the data set
        codecs = convert_encodings(_character_set_names(header))
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


def read_name(header: Dataset, keyword: str) -> str:
    """Returns a name or ID, also in character sets that pydicom decodes as Latin-1 or in part.

    If the declared character set is unknown, bytes that are UTF-8 are decoded as UTF-8. The escape sequences of
    ISO 2022 IR 58 are removed.
    """
    text, names = str(header.get(keyword) or ""), _character_set_names(header)
    if "ISO 2022 IR 58" in names:
        return text.replace(_ESCAPE_TO_GB2312, "")
    if character_codecs(header) != ("ascii",) or names in ([""], ["ISO_IR 6"]):
        return text
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def text_problem(header: Dataset, keyword: str) -> str:
    """Returns why a name or ID is invalid, for a warning; empty if it is valid."""
    text = str(header.get(keyword) or "")
    if _REPLACEMENT_CHARACTER in text:
        return "contains bytes that are invalid in its character set: they are replaced by U+FFFD in the result"
    if not are_characters_valid(text, "PN", character_codecs(header)):
        return "contains characters outside its character set, and is copied without a check"
    try:
        validate_value(dictionary_VR(keyword), text, RAISE)
    except ValueError:
        return "is invalid (PS3.5, 6.2), such as too long, and is copied unchanged"
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
