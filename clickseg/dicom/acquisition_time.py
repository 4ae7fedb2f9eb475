"""Acquisition times of the images of a PET series, with their days if a scan runs over midnight."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from pydicom import Dataset

from clickseg.dicom.date_time import combine_date_time, parse_date_time

_DAY = timedelta(days=1)
_MAX_SCAN = timedelta(hours=12)
"""No scan takes longer. Times of day further apart are on two days."""
_MAX_AFTER_SERIES_TIME = timedelta(hours=6)
"""The first image of a series is at most so long after Series Time, also if slices are missing."""


def acquisition_times(headers: Sequence[Dataset]) -> list[datetime | None]:
    """Returns the time at which the acquisition of each image began; None if the time or its date is missing.

    An Acquisition Time without a date has the day of Series Date (0008,0021), or the next or previous day if the scan
    ran over midnight: times that are more than 12 hours apart on one day are on two days, and the first acquisition is
    from 18 hours before Series Time (0008,0031), if that is the time of a reconstruction, to 6 hours after it.

    Args:
        headers: The images of a series.

    Raises:
        SuvError: A time or date is malformed.
    """
    times = [acquisition_time(header) for header in headers]
    undated = [index for index, header in enumerate(headers) if times[index] is not None and not _has_date(header)]
    if not undated:
        return times
    start = _first_time([time for index in undated if (time := times[index]) is not None])
    days = _days_to_series_time(headers[undated[0]], start)
    for index in undated:
        time = times[index]
        if time is not None:
            times[index] = time + days + (_DAY if time < start else timedelta(0))
    return times


def acquisition_time(header: Dataset) -> datetime | None:
    """Returns the time at which the acquisition of an image began, with Series Date if it has no date of its own.

    Raises:
        SuvError: The time or date is malformed.
    """
    start = parse_date_time(header, header.get("AcquisitionDateTime"), "AcquisitionDateTime (0008,002A)")
    if start is not None:
        return start
    date = header.get("AcquisitionDate") or header.get("SeriesDate")
    return combine_date_time(date, header.get("AcquisitionTime"), "AcquisitionTime (0008,0032)")


def _has_date(header: Dataset) -> bool:
    date_time = parse_date_time(header, header.get("AcquisitionDateTime"), "AcquisitionDateTime (0008,002A)")
    return date_time is not None or bool(header.get("AcquisitionDate"))


def _first_time(times: Sequence[datetime]) -> datetime:
    """Returns the first of the times of one day: the one after the gap, if the others are after midnight."""
    ordered = sorted(set(times))
    gaps = {later: later - earlier for earlier, later in pairwise(ordered)}
    after_gap = max(gaps, key=lambda time: gaps[time], default=ordered[0])
    return after_gap if gaps.get(after_gap, timedelta(0)) > _MAX_SCAN else ordered[0]


def _days_to_series_time(header: Dataset, start: datetime) -> timedelta:
    """Returns the days by which acquisitions on the day of Series Date are moved, so that they fit Series Time."""
    series_time = combine_date_time(header.get("SeriesDate"), header.get("SeriesTime"), "SeriesTime (0008,0031)")
    if series_time is None:
        return timedelta(0)
    return _DAY * ((series_time + _MAX_AFTER_SERIES_TIME - start) // _DAY)
