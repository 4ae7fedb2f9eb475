"""Injection time of a PET tracer and reference times of PET images, in the local time of the scanner."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DA, DT, TM

from clickseg.core.errors import SuvError

_DAY = timedelta(days=1)
_MAX_OVER_MIDNIGHT = timedelta(hours=12)
_MINUTE_LENGTHS = {"DT": len("YYYYMMDDHHMM"), "TM": len("HHMM")}
"""The length of a DT or TM value with a precision of minutes."""


def injection_time(header: Dataset, tracer: Dataset, reference_time: datetime, max_elapsed: timedelta) -> datetime:
    """Returns the time at which the tracer was injected.

    An injection time without a date must fit only one day, unless the end of the injection has a date. If it is later
    than the reference time, it was on the day before, if this is at most 12 hours before the reference time. Otherwise
    a clock was wrong, or the tracer was injected during the scan.

    Args:
        header: A PET image.
        tracer: The item of Radiopharmaceutical Information Sequence of the image.
        reference_time: The reference time of the image.
        max_elapsed: The longest time from an injection to an image, which depends on the half-life.

    Raises:
        SuvError: The injection time is missing, malformed, later than the reference time, or without its day.
    """
    start = tracer.get("RadiopharmaceuticalStartDateTime")
    injected = _parse_date_time(header, start, "RadiopharmaceuticalStartDateTime (0018,1078)")
    if injected is not None:
        return injected
    start = tracer.get("RadiopharmaceuticalStartTime")
    injected = _combine_date_time(reference_time.strftime("%Y%m%d"), start, "RadiopharmaceuticalStartTime (0018,1072)")
    if injected is None:
        raise SuvError(
            "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are missing"
        )
    since_injection = (reference_time - injected) % _DAY
    if since_injection + _DAY <= max_elapsed:
        stop = tracer.get("RadiopharmaceuticalStopDateTime")
        stopped = _parse_date_time(header, stop, "RadiopharmaceuticalStopDateTime (0018,1079)")
        if stopped is None:
            raise _unknown_day_error(injected, since_injection)
        return stopped - (stopped - injected) % _DAY
    if injected <= reference_time:
        return injected
    day_before = injected - timedelta(days=1)
    if reference_time - day_before > _MAX_OVER_MIDNIGHT:
        raise SuvError(
            f"RadiopharmaceuticalStartTime (0018,1072): {injected:%H:%M:%S} is later than {reference_time:%H:%M:%S}, "
            "the reference time of the image"
        )
    return day_before


def decay_reference_time(headers: Sequence[Dataset]) -> datetime:
    """Returns the time to which a series with Decay Correction START is corrected.

    This is the series time, unless it is later than the first acquisition: then it is the time of a reconstruction, and
    GE's private scan time or the earliest acquisition is used (QIBA).

    Raises:
        SuvError: The times or dates are missing or malformed.
    """
    header = headers[0]
    reference_time = _parse_date_time(
        header, header.get("DecayCorrectionDateTime"), "DecayCorrectionDateTime (0018,9701)"
    )
    if reference_time is not None:
        return reference_time
    acquisitions = [time for image in headers if (time := _acquisition_time(image)) is not None]
    series_time = _combine_date_time(header.get("SeriesDate"), header.get("SeriesTime"), "SeriesTime (0008,0031)")
    if series_time is not None and (not acquisitions or series_time <= min(acquisitions)):
        return series_time
    scan_time = _ge_scan_time(header) or min(acquisitions, default=None)
    if scan_time is None:
        raise SuvError("SeriesTime (0008,0031) and AcquisitionTime (0008,0032), or their dates, are missing")
    return scan_time


def acquisition_start(header: Dataset) -> datetime:
    """Returns the time at which the acquisition of an image began.

    Raises:
        SuvError: The time or its date is missing or malformed.
    """
    start = _acquisition_time(header)
    if start is None:
        raise SuvError(
            "AcquisitionTime (0008,0032) or its date is missing: both are needed if DecayCorrection (0054,1102) is NONE"
        )
    return start


def _unknown_day_error(injected: datetime, since_injection: timedelta) -> SuvError:
    hours = since_injection.total_seconds() / 3600
    return SuvError(
        "RadiopharmaceuticalStartDateTime (0018,1078) is missing, and RadiopharmaceuticalStartTime (0018,1072) has no "
        f"day: with this half-life, an injection at {injected:%H:%M:%S} can be {hours:.1f} h or {hours + 24:.1f} h "
        "before the image",
        hint="export the series with RadiopharmaceuticalStartDateTime",
    )


def _ge_scan_time(header: Dataset) -> datetime | None:
    try:
        value = header.private_block(0x0009, "GEMS_PETD_01")[0x0D].value
    except KeyError:
        return None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return _parse_date_time(header, text.strip("\0 "), "GE scan date and time (0009,100D)")


def _acquisition_time(header: Dataset) -> datetime | None:
    start = _parse_date_time(header, header.get("AcquisitionDateTime"), "AcquisitionDateTime (0008,002A)")
    if start is not None:
        return start
    date = header.get("AcquisitionDate") or header.get("SeriesDate")
    return _combine_date_time(date, header.get("AcquisitionTime"), "AcquisitionTime (0008,0032)")


def _combine_date_time(date_value: Any, time_value: Any, attribute: str) -> datetime | None:
    """Combines a DA and a TM value; None if one is missing, or if the time has no minutes."""
    if not date_value or not time_value or len(str(time_value).partition(".")[0]) < _MINUTE_LENGTHS["TM"]:
        return None
    try:
        date, time = DA(str(date_value)), TM(str(time_value))
    except ValueError as error:
        raise SuvError(f"{attribute}: expected a date and a time, got {date_value} {time_value}") from error
    return datetime.combine(date, time) if date and time else None


def _parse_date_time(header: Dataset, value: Any, attribute: str) -> datetime | None:
    """Converts a DT value to the time zone of the DA and TM values of the header (PS3.3, C.12.1.1.8).

    Returns None for a missing value and for a date without a time, which de-identification can leave behind.
    """
    if not value or len(re.split(r"[.+-]", str(value))[0]) < _MINUTE_LENGTHS["DT"]:
        return None
    try:
        date_time = DT(str(value))
        zone = DT(f"20000101000000{header.get('TimezoneOffsetFromUTC') or ''}")
    except ValueError as error:
        raise SuvError(f"{attribute}: expected a date and time, got {value}") from error
    if date_time is None or zone is None:
        return None
    local = date_time.astimezone(zone.tzinfo) if date_time.tzinfo and zone.tzinfo else date_time
    return local.replace(tzinfo=None)
