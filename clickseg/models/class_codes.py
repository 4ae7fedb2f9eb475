"""DICOM codes and colours of classes, found by the name of a class: for models that define only names.

``class_codes.csv`` contains the structures of TotalSegmentator (its SNOMED mapping), SegDB, and the MONAI Model Zoo.
Meanings are those of PS3.16 where pydicom knows the code.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("class_codes.csv")

_SCHEME = "SCT"

CodeTriple = tuple[str, str, str]
"""Value, scheme and meaning of a code."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_ANATOMICAL: CodeTriple = ("123037004", _SCHEME, "Anatomical Structure")
_CATEGORIES: Mapping[str, CodeTriple] = {
    "A": _ANATOMICAL,
    "M": ("49755003", _SCHEME, "Morphologically Abnormal Structure"),
    "T": ("85756007", _SCHEME, "Tissue"),
}
"""Codes of CID 7150, Segmentation Property Category."""

_UNKNOWN_TYPE: CodeTriple = ("91723000", _SCHEME, "Anatomical structure")

_SIDES: Mapping[str, CodeTriple] = {
    "left": ("7771000", _SCHEME, "Left"),
    "right": ("24028007", _SCHEME, "Right"),
}
"""Codes of CID 244, Laterality."""

_PALETTE: tuple[Colour, ...] = (
    (230, 97, 92),
    (84, 148, 218),
    (102, 187, 106),
    (255, 183, 77),
    (171, 120, 200),
    (77, 190, 190),
    (240, 128, 180),
    (150, 150, 80),
)
"""Colours of classes without a known colour: neighbouring channels have different hues."""

_WORD = re.compile(r"[a-z]+|\d+")
_SYNONYMS: Mapping[str, str] = {
    "tumour": "tumor",
    "lt": "left",
    "rt": "right",
    "vertebra": "vertebrae",
}


@dataclass(frozen=True, slots=True)
class ClassCodes:
    """The codes and the colour of a class.

    Attributes:
        category: The category.
        type: The type.
        type_modifier: The side, if the type does not contain it.
        anatomic_region: The region of an abnormal structure.
        colour: The colour.
    """

    category: CodeTriple
    type: CodeTriple
    type_modifier: CodeTriple | None
    anatomic_region: CodeTriple | None
    colour: Colour


def find_class_codes(name: str, number: int) -> ClassCodes:
    """Returns the codes and the colour of a class.

    A name is known if it has the words of a structure in the table, in any order and spelling; ``left`` and ``right``
    become the modifier. An unknown name is an anatomical structure without further meaning.

    Args:
        name: The name of the class.
        number: A number that selects the colour of a structure without a known colour.
    """
    words = [_SYNONYMS.get(word, word) for word in _WORD.findall(name.casefold())]
    sides = [word for word in words if word in _SIDES]
    fallback = _PALETTE[number % len(_PALETTE)]
    complete = _read_table().get(frozenset(words))
    row = complete or _read_table().get(frozenset(word for word in words if word not in _SIDES))
    modifier = _SIDES[sides[0]] if len(sides) == 1 and not complete else None
    if row is None:
        return ClassCodes(_ANATOMICAL, _UNKNOWN_TYPE, modifier, None, fallback)
    return ClassCodes(row.category, row.type, modifier, row.anatomic_region, row.colour or fallback)


@dataclass(frozen=True, slots=True)
class _Structure:
    category: CodeTriple
    type: CodeTriple
    anatomic_region: CodeTriple | None
    colour: Colour | None


@cache
def _read_table() -> Mapping[frozenset[str], _Structure]:
    """Returns the structures by the words of their names."""
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return {frozenset(_WORD.findall(row["name"])): _parse_row(row) for row in csv.DictReader(file)}


def _parse_row(row: Mapping[str, str]) -> _Structure:
    region = (row["region"], _SCHEME, row["region meaning"]) if row["region"] else None
    red_green_blue = [int(part) for part in row["colour"].split()]
    colour = (red_green_blue[0], red_green_blue[1], red_green_blue[2]) if red_green_blue else None
    return _Structure(_CATEGORIES[row["category"]], (row["type"], _SCHEME, row["type meaning"]), region, colour)
