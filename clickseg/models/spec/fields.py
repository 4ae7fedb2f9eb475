"""What the parts of a specification share: texts, coded concepts, and fields that are written only if needed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from clickseg.core.validation import StrictModel


def short_text_pattern(length: int) -> str:
    r"""Returns the pattern of DICOM text (SH, LO): no backslash or control characters, no space at either end."""
    return rf"^[^\\\x00-\x1f\s]([^\\\x00-\x1f]{{0,{length - 2}}}[^\\\x00-\x1f\s])?$"


def omit_if(default: object) -> Any:
    """Returns the settings of a field that is written only if its value is not the default.

    UIDs and sessions depend on the written specification: they stay the same if a version adds such a field.
    """
    return Field(exclude_if=lambda value: bool(value == default))


class Code(StrictModel):
    """A coded concept (PS3.3, 8.8)."""

    value: Annotated[str, Field(pattern=short_text_pattern(16))]
    scheme: Annotated[str, Field(pattern=short_text_pattern(16))]
    meaning: Annotated[str, Field(pattern=short_text_pattern(64))]
