"""Dates and times that scanners store in private attributes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset

from clickseg.dicom.date_time import parse_date_time


@dataclass(frozen=True, slots=True)
class PrivateTime:
    """A private attribute with a date and time.

    Attributes:
        group: The group of the attribute.
        creator: The private creator of its block.
        element: The element in the block.
        name: The attribute in messages.
    """

    group: int
    creator: str
    element: int
    name: str


GE_SCAN = PrivateTime(0x0009, "GEMS_PETD_01", 0x0D, "GE scan date and time (0009,100D)")
GE_INJECTION = PrivateTime(0x0009, "GEMS_PETD_01", 0x3B, "GE injection date and time (0009,103B)")
SIEMENS_DECAY_CORRECTION = PrivateTime(0x0071, "SIEMENS MED PT", 0x22, "Siemens decay correction time (0071,1022)")


def read_private_time(header: Dataset, attribute: PrivateTime) -> datetime | None:
    """Returns a private date and time in the local time of the scanner; None without the attribute or its creator.

    Raises:
        SuvError: The value is malformed.
    """
    try:
        value = header.private_block(attribute.group, attribute.creator)[attribute.element].value
    except KeyError:
        return None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return parse_date_time(header, text.strip("\0 "), attribute.name)
