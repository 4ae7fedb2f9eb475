"""Compares the patient of several images; two spellings of one name are one patient."""

from __future__ import annotations

import re
import unicodedata

_PADDING = "\0 "
_TRAILING_COMPONENTS = re.compile(r"[\^ ]+$")
_TRAILING_GROUPS = re.compile(r"=+$")


def comparable_id(patient_id: str) -> str:
    """Returns a Patient ID (0010,0020) without padding, which is not significant (PS3.5, 6.2, LO)."""
    return unicodedata.normalize("NFC", patient_id).strip(_PADDING)


def comparable_name(name: str) -> str:
    """Returns the form of a Patient's Name (0010,0010) that is equal for all spellings of the name.

    Empty components and component groups at the end may be omitted with their delimiters, and spaces at the end of a
    component are padding (PS3.5, 6.2, PN). A name in capital letters is the same name (PS3.4, C.2.2.2.1).
    """
    groups = [_comparable_group(group) for group in unicodedata.normalize("NFC", name).split("=")]
    return _TRAILING_GROUPS.sub("", "=".join(groups))


def _comparable_group(group: str) -> str:
    components = [component.strip(_PADDING) for component in group.split("^")]
    return _TRAILING_COMPONENTS.sub("", "^".join(components)).casefold()
