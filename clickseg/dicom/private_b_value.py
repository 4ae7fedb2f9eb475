"""The b-value of single-frame MR images in private attributes of scanners that do not write Diffusion b-value."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.planes import Plane

_ATTRIBUTES = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x0043, "GEMS_PARM_01", 0x39),
    (0x2001, "Philips Imaging DD 001", 0x03),
)
"""Group, private creator and element: B_value of Siemens, the first value of GE, Diffusion B-Factor of Philips."""

_BLOCKS = range(0x10, 0x20)
"""The private blocks (PS3.5, 7.8.1) that are searched; scanners reserve the first ones."""


def read_private_b_values(planes: Sequence[Plane]) -> list[str]:
    """Returns the private b-value of each plane as text; empty if it is missing, and in multi-frame images."""
    is_mr = planes[0].instance.text("Modality") == "MR" and planes[0].frame_number is None
    return [_read_b_value(plane.instance.header) if is_mr else "" for plane in planes]


def _read_b_value(header: Dataset) -> str:
    for group, creator, element in _ATTRIBUTES:
        for block in _BLOCKS:
            try:
                if (group, block) in header and header[group, block].value == creator:
                    return _to_text(header[group, (block << 8) + element].value)
            except READ_ERRORS:
                continue
    return ""


def _to_text(value: object) -> str:
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str | bytes) and value else value
    return str(first).strip()
