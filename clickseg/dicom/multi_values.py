"""Attributes with several values as text (VR CS)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OTHER_DELIMITER = re.compile("[,;]")


def split_values(value: object) -> tuple[str, ...]:
    """Returns the values of an attribute as text; none if it is absent, or if all are empty.

    Some exports write all values as one, separated by commas or semicolons instead of backslashes. They are separated
    here: a value of the VR CS cannot contain these characters (PS3.5, 6.2).
    """
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value or ""]
    parts = tuple(part.strip() for item in values for part in _OTHER_DELIMITER.split(str(item)))
    return parts if any(parts) else ()


def has_other_delimiter(value: object) -> bool:
    """Whether ``split_values`` separates values that are not separated by backslashes."""
    return isinstance(value, str) and _OTHER_DELIMITER.search(value) is not None
