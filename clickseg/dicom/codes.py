"""Coded concepts as pydicom wants them."""

from __future__ import annotations

from pydicom.sr.coding import Code

from clickseg.models.spec import Code as SpecCode

MILLILITER = Code("ml", "UCUM", "milliliter")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


def to_code(code: SpecCode) -> Code:
    """Returns a coded concept of a model package."""
    return Code(code.value, code.scheme, code.meaning)
