"""Dates and times of DICOM headers (DA, TM, DT) in the local time of the scanner."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DA, DT, TM

from clickseg.core.errors import SuvError
from clickseg.dicom.hints import INVALID_VALUE_HINT

_MINUTE_LENGTHS = {"DT": len("YYYYMMDDHHMM"), "TM": len("HHMM")}
"""The length of a DT or TM value with a precision of minutes."""


def combine_date_time(date_value: Any, time_value: Any, attribute: str) -> datetime | None:
    """Combines a DA and a TM value; None if one is missing, or if the time has no minutes."""
    if not date_value or not time_value or len(str(time_value).partition(".")[0]) < _MINUTE_LENGTHS["TM"]:
        return None
    try:
        date, time = DA(str(date_value)), TM(str(time_value))
    except ValueError as error:
        raise SuvError(
            f"{attribute}: expected a date and a time, got {date_value} {time_value}", hint=INVALID_VALUE_HINT
        ) from error
    return datetime.combine(date, time) if date and time else None


def parse_date_time(header: Dataset, value: Any, attribute: str) -> datetime | None:
    """Converts a DT value to the time zone of the DA and TM values of the header (PS3.3, C.12.1.1.8).

    Returns None for a missing value and for a date without a time, which de-identification can leave behind.
    """
    if not value or len(re.split(r"[.+-]", str(value))[0]) < _MINUTE_LENGTHS["DT"]:
        return None
    try:
        date_time = DT(str(value))
        zone = DT(f"20000101000000{header.get('TimezoneOffsetFromUTC') or ''}")
    except ValueError as error:
        raise SuvError(f"{attribute}: expected a date and time, got {value}", hint=INVALID_VALUE_HINT) from error
    if date_time is None or zone is None:
        return None
    local = date_time.astimezone(zone.tzinfo) if date_time.tzinfo and zone.tzinfo else date_time
    return local.replace(tzinfo=None)
