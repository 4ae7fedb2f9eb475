"""Injection time of a PET tracer and reference times of PET images, in the local time of the scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom import Dataset

from clickseg.core.errors import SuvError
from clickseg.dicom.acquisition_time import acquisition_times
from clickseg.dicom.date_time import combine_date_time, parse_date_time

_DAY = timedelta(days=1)
_MAX_OVER_MIDNIGHT = timedelta(hours=12)


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
    injected = parse_date_time(header, start, "RadiopharmaceuticalStartDateTime (0018,1078)")
    if injected is not None:
        return injected
    start = tracer.get("RadiopharmaceuticalStartTime")
    injected = combine_date_time(reference_time.strftime("%Y%m%d"), start, "RadiopharmaceuticalStartTime (0018,1072)")
    if injected is None:
        raise SuvError(
            "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are missing"
        )
    since_injection = (reference_time - injected) % _DAY
    if since_injection + _DAY <= max_elapsed:
        stop = tracer.get("RadiopharmaceuticalStopDateTime")
        stopped = parse_date_time(header, stop, "RadiopharmaceuticalStopDateTime (0018,1079)")
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


@dataclass(frozen=True, slots=True)
class DecayReference:
    """The time to which a series with Decay Correction START is corrected.

    Attributes:
        time: The time.
        is_earliest_acquisition: Whether it is the earliest acquisition, which is later if images are missing.
    """

    time: datetime
    is_earliest_acquisition: bool = False


def decay_reference(headers: Sequence[Dataset]) -> DecayReference:
    """Returns the time to which a series with Decay Correction START is corrected.

    This is the series time, unless it is later than the first acquisition: then it is the time of a reconstruction, and
    GE's private scan time or the earliest acquisition is used (QIBA).

    Raises:
        SuvError: The times or dates are missing or malformed.
    """
    header = headers[0]
    stated = parse_date_time(header, header.get("DecayCorrectionDateTime"), "DecayCorrectionDateTime (0018,9701)")
    if stated is not None:
        return DecayReference(stated)
    acquisitions = [time for time in acquisition_times(headers) if time is not None]
    series_time = combine_date_time(header.get("SeriesDate"), header.get("SeriesTime"), "SeriesTime (0008,0031)")
    if series_time is not None and (not acquisitions or series_time <= min(acquisitions)):
        return DecayReference(series_time)
    scan_time = _ge_scan_time(header)
    if scan_time is not None:
        return DecayReference(scan_time)
    if not acquisitions:
        raise SuvError("SeriesTime (0008,0031) and AcquisitionTime (0008,0032), or their dates, are missing")
    return DecayReference(min(acquisitions), is_earliest_acquisition=True)


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
    return parse_date_time(header, text.strip("\0 "), "GE scan date and time (0009,100D)")
