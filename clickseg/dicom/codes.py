"""Coded concepts as pydicom wants them."""

from __future__ import annotations

from pydicom.sr.coding import Code

from clickseg.models.spec import Code as SpecCode

SEED_POINT = Code("128139", "DCM", "Seed point")
CLICK_POLARITY = Code("polarity", "99CLICKSEG", "Click polarity")
CLICK_ORDER = Code("order", "99CLICKSEG", "Click order")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


def to_code(code: SpecCode) -> Code:
    """Returns a coded concept of a model package."""
    return Code(code.value, code.scheme, code.meaning)
