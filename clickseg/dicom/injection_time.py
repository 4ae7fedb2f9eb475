"""Injection time of a PET tracer, in the local time of the scanner."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydicom import Dataset

from clickseg.core.errors import SuvError
from clickseg.dicom.date_time import combine_date_time, parse_date_time
from clickseg.dicom.hints import CLOCK_HINT, MISSING_VALUE_HINT
from clickseg.dicom.private_times import GE_INJECTION, read_private_time

MAX_HALF_LIVES = 10
"""After more half-lives, an image shows no activity."""

_DAY = timedelta(days=1)
_MAX_OVER_MIDNIGHT = timedelta(hours=12)


def injection_time(header: Dataset, tracer: Dataset, reference_time: datetime, half_life_s: float) -> datetime:
    """Returns the time at which the tracer was injected.

    An injection time without a date has the day of the end of the injection, or of GE's private injection time. Without
    both, it is on the day of the image, or on the day before if this is at most 12 hours before the image. This is an
    error if another day is as likely:

    - The half-life is at least one day, as for Zr-89 (78 h) and I-124 (100 h): images are made days later.
    - The half-life is shorter, but after one more day the image would still be within 10 half-lives, as for Cu-64
      (12.7 h), and either the study began on an earlier day, or the injection is more than 12 hours before the image.

    A later injection is an error too: a clock was wrong, or the tracer was injected during the scan.

    Args:
        header: A PET image.
        tracer: The item of Radiopharmaceutical Information Sequence of the image.
        reference_time: The reference time of the image.
        half_life_s: The half-life of the tracer in seconds.

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
            "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are missing",
            hint=MISSING_VALUE_HINT,
        )
    since_injection = (reference_time - injected) % _DAY
    is_over_midnight = injected > reference_time
    if (since_injection + _DAY).total_seconds() <= MAX_HALF_LIVES * half_life_s:
        dated = _dated_injection_time(header, tracer)
        if dated is not None:
            return injected + _DAY * round((dated - injected) / _DAY)
        is_too_early = is_over_midnight and since_injection > _MAX_OVER_MIDNIGHT
        if (
            half_life_s >= _DAY.total_seconds()
            or is_too_early
            or _is_study_older(header, reference_time - since_injection)
        ):
            raise _unknown_day_error(injected, since_injection)
    if is_over_midnight and since_injection > _MAX_OVER_MIDNIGHT:
        raise SuvError(
            f"RadiopharmaceuticalStartTime (0018,1072): {injected:%H:%M:%S} is later than {reference_time:%H:%M:%S}, "
            "the reference time of the image",
            hint=CLOCK_HINT,
        )
    return reference_time - since_injection


def is_injection_day_assumed(header: Dataset, tracer: Dataset, half_life_s: float) -> bool:
    """Whether the day of an injection is that of the image only because no attribute contains another."""
    start = tracer.get("RadiopharmaceuticalStartDateTime")
    injected = parse_date_time(header, start, "RadiopharmaceuticalStartDateTime (0018,1078)")
    is_dated = injected is not None or _dated_injection_time(header, tracer) is not None
    return MAX_HALF_LIVES * half_life_s >= _DAY.total_seconds() and not is_dated


def _dated_injection_time(header: Dataset, tracer: Dataset) -> datetime | None:
    """Returns a time that is on the day of the injection: its end, or GE's private injection time."""
    stop = tracer.get("RadiopharmaceuticalStopDateTime")
    stopped = parse_date_time(header, stop, "RadiopharmaceuticalStopDateTime (0018,1079)")
    return stopped or read_private_time(header, GE_INJECTION)


def _is_study_older(header: Dataset, injected: datetime) -> bool:
    """Whether the study began on a day before that of the injection."""
    try:
        study = combine_date_time(header.get("StudyDate"), "0000", "StudyDate (0008,0020)")
    except SuvError:
        return False
    return study is not None and study.date() < injected.date()


def _unknown_day_error(injected: datetime, since_injection: timedelta) -> SuvError:
    hours = since_injection.total_seconds() / 3600
    return SuvError(
        "RadiopharmaceuticalStartDateTime (0018,1078) is missing, and RadiopharmaceuticalStartTime (0018,1072) has no "
        f"day: with this half-life, an injection at {injected:%H:%M:%S} can be {hours:.1f} h or {hours + 24:.1f} h "
        "before the image",
        hint="export the series with RadiopharmaceuticalStartDateTime (0018,1078)",
    )
