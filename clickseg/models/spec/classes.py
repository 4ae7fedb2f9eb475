"""The classes of a model and their codes in DICOM."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from clickseg.core.validation import StrictModel
from clickseg.models.class_codes import CodeTriple, find_class_codes
from clickseg.models.spec.fields import Code, omit_if, short_text_pattern


class ClassSpec(StrictModel):
    """One class of the output: its logit channel, and its codes in DICOM.

    Codes and colour that are not given are found by the name: see ``class_codes``. ``type_modifier`` is the side of a
    paired structure.
    """

    name: Annotated[str, Field(pattern=short_text_pattern(64))]
    channel: Annotated[int, Field(ge=0)]
    colour: tuple[
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
    ]
    category: Code
    type: Code
    type_modifier: Annotated[Code | None, omit_if(None)] = None
    anatomic_region: Code | None = None
    aliases: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_codes(cls, content: object) -> object:
        """Adds colour and codes by name; codes are only added together, so that they do not contradict each other."""
        if not isinstance(content, dict) or not isinstance(content.get("name"), str):
            return content
        codes = find_class_codes(content["name"], _number_or_zero(content.get("channel")))
        filled = {"colour": codes.colour, **content}
        if "type" not in content:
            found = {"type": codes.type, "type_modifier": codes.type_modifier, "anatomic_region": codes.anatomic_region}
            concepts = {"category": codes.category, **found}
            filled = {**{key: _code_fields(code) for key, code in concepts.items() if code}, **filled}
        return filled


def _number_or_zero(value: object) -> int:
    return value if isinstance(value, int) else 0


def _code_fields(code: CodeTriple) -> dict[str, str]:
    return dict(zip(("value", "scheme", "meaning"), code, strict=True))
