"""Coded concepts that ClickSeg reads and writes."""

from __future__ import annotations

from pydicom.sr.coding import Code

SEED_POINT = Code("128139", "DCM", "Seed point")
CLICK_POLARITY = Code("polarity", "99CLICKSEG", "Click polarity")
CLICK_ORDER = Code("order", "99CLICKSEG", "Click order")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
