"""When a PET tracer was injected, and the moments that a PET image refers to; all in the local time of the scanner."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DA, DT, TM

from clickseg.core.errors import SuvError

_OVER_MIDNIGHT = timedelta(hours=12)
_MINUTES = {"DT": len("YYYYMMDDHHMM"), "TM": len("HHMM")}
"""How long a date and time, or a time, is that is exact to the minute."""


def injection_time(header: Dataset, tracer: Dataset, scan: datetime) -> datetime:
    """Returns when the tracer was given.

    Args:
        header: A PET image.
        tracer: Its item of Radiopharmaceutical Information Sequence.
        scan: A moment of the scan: a bare time of injection that is later was on the day before, if that is at most 12
            hours ago: else it is a clock that is wrong, or an injection into a running scan.

    Raises:
        SuvError: Neither a time nor a date and time of injection is given, it is malformed, or later than the scan.
    """
    start = tracer.get("RadiopharmaceuticalStartDateTime")
    moment = _moment(header, start, "RadiopharmaceuticalStartDateTime (0018,1078)")
    if moment is not None:
        return moment
    start = tracer.get("RadiopharmaceuticalStartTime")
    moment = _at(scan.strftime("%Y%m%d"), start, "RadiopharmaceuticalStartTime (0018,1072)")
    if moment is None:
        raise SuvError(
            "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are missing"
        )
    if moment <= scan:
        return moment
    before_midnight = moment - timedelta(days=1)
    if scan - before_midnight > _OVER_MIDNIGHT:
        raise SuvError(
            f"RadiopharmaceuticalStartTime (0018,1072): {moment:%H:%M:%S} is later than {scan:%H:%M:%S}, the moment "
            "that the image refers to"
        )
    return before_midnight


def scan_start(headers: Sequence[Dataset]) -> datetime:
    """Returns the moment to which a series with Decay Correction START is corrected.

    The series' time, unless it is later than the first acquisition: then it is that of a reconstruction, and GE's
    private scan time or the earliest acquisition counts (QIBA).

    Raises:
        SuvError: The times or dates are missing or malformed.
    """
    header = headers[0]
    stated = header.get("DecayCorrectionDateTime")
    reference = _moment(header, stated, "DecayCorrectionDateTime (0018,9701)")
    if reference is not None:
        return reference
    acquisitions = [moment for each in headers if (moment := _acquisition(each)) is not None]
    series = _at(header.get("SeriesDate"), header.get("SeriesTime"), "SeriesTime (0008,0031)")
    if series is not None and (not acquisitions or series <= min(acquisitions)):
        return series
    moment = _ge_scan_time(header) or min(acquisitions, default=None)
    if moment is None:
        raise SuvError("SeriesTime (0008,0031) and AcquisitionTime (0008,0032) are missing, or their dates are")
    return moment


def frame_start(header: Dataset) -> datetime:
    """Returns when the acquisition of an image began.

    Raises:
        SuvError: The time or its date is missing or malformed.
    """
    start = _acquisition(header)
    if start is None:
        raise SuvError("AcquisitionTime (0008,0032) or its date is missing, and DecayCorrection (0054,1102) is NONE")
    return start


def _ge_scan_time(header: Dataset) -> datetime | None:
    try:
        value = header.private_block(0x0009, "GEMS_PETD_01")[0x0D].value
    except KeyError:
        return None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return _moment(header, text.strip("\0 "), "GE scan date and time (0009,100d)")


def _acquisition(header: Dataset) -> datetime | None:
    moment = _moment(header, header.get("AcquisitionDateTime"), "AcquisitionDateTime (0008,002A)")
    if moment is not None:
        return moment
    date = header.get("AcquisitionDate") or header.get("SeriesDate")
    return _at(date, header.get("AcquisitionTime"), "AcquisitionTime (0008,0032)")


def _at(date: Any, time: Any, what: str) -> datetime | None:
    if not date or not time or len(str(time).partition(".")[0]) < _MINUTES["TM"]:
        return None
    try:
        day, moment = DA(str(date)), TM(str(time))
    except ValueError as error:
        raise SuvError(f"{what}: expected a date and a time, got {date} {time}") from error
    return datetime.combine(day, moment) if day and moment else None


def _moment(header: Dataset, value: Any, what: str) -> datetime | None:
    """Reads a DT value as the local time that the DA and TM values of the header are in (PS3.3, C.12.1.1.8).

    A date without a time is as good as none: de-identification leaves such.
    """
    if not value or len(re.split(r"[.+-]", str(value))[0]) < _MINUTES["DT"]:
        return None
    try:
        moment = DT(str(value))
        zone = DT(f"20000101000000{header.get('TimezoneOffsetFromUTC') or ''}")
    except ValueError as error:
        raise SuvError(f"{what}: expected a date and time, got {value}") from error
    if moment is None or zone is None:
        return None
    return (moment.astimezone(zone.tzinfo) if moment.tzinfo and zone.tzinfo else moment).replace(tzinfo=None)
