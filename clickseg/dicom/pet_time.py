"""The time to which the activity of a PET series is corrected for decay, in the local time of the scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset

from clickseg.core.errors import SuvError
from clickseg.dicom.acquisition_time import acquisition_times
from clickseg.dicom.date_time import combine_date_time, parse_date_time
from clickseg.dicom.hints import MISSING_VALUE_HINT
from clickseg.dicom.private_times import GE_SCAN, SIEMENS_DECAY_CORRECTION, read_private_time


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
    a private time of the scanner (GE, Siemens) or the earliest acquisition is used (QIBA).

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
    private_time = read_private_time(header, GE_SCAN) or read_private_time(header, SIEMENS_DECAY_CORRECTION)
    if private_time is not None:
        return DecayReference(private_time)
    if not acquisitions:
        raise SuvError(
            "SeriesTime (0008,0031) and AcquisitionTime (0008,0032), or their dates, are missing",
            hint=MISSING_VALUE_HINT,
        )
    return DecayReference(min(acquisitions), is_earliest_acquisition=True)
