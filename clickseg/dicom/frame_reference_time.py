"""Whether the first frame of a PET scan is present, by Frame Reference Time (0054,1300).

Frame Reference Time is the time from the reference time of the decay correction (Decay Correction START) to a time
within the frame (PS3.3, C.8.9.4): scanners write its beginning or the time of the mean activity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from clickseg.core.errors import SuvError
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.multi_values import split_values

_TOLERANCE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame of a scan, in seconds: its Frame Reference Time and its duration."""

    reference_s: float
    duration_s: float

    @property
    def least_start_s(self) -> float:
        """The least time from the reference time of the decay correction to the beginning of the frame."""
        return self.reference_s - self.duration_s


def check_first_frame(headers: Sequence[Dataset], seconds_since_injection: float) -> None:
    """Rejects a series whose first images are missing, to whose acquisition the other images are corrected for decay.

    Frame Reference Time is ignored if it is not what the standard defines:

    - The reference time would be the injection or earlier: the times are counted from the injection or from another
      time. In a dynamic scan, which can begin with the injection, this is ignored only if all time slices were sent.
    - The images have one Acquisition Time but several Frame Reference Times: Acquisition Time is the start of the scan.

    Args:
        headers: The images of a series whose reference time is the earliest Acquisition Time.
        seconds_since_injection: The time from the injection to the earliest Acquisition Time.

    Raises:
        SuvError: The earliest frame begins after the reference time.
    """
    frames = [frame for header in headers if (frame := _read_frame(header)) is not None]
    if not frames:
        return
    first = min(frames, key=lambda frame: frame.reference_s)
    if first.least_start_s <= _TOLERANCE_S or first.least_start_s > seconds_since_injection:
        return
    if first.reference_s >= seconds_since_injection - _TOLERANCE_S and not _lacks_time_slices(headers):
        return
    last_s = max(frame.reference_s for frame in frames)
    if last_s > first.reference_s + first.duration_s and len(_acquisition_texts(headers)) == 1:
        return
    raise SuvError(
        f"FrameReferenceTime (0054,1300): the first image is {first.reference_s:g} s after the reference time of the "
        f"decay correction, expected at most {first.duration_s:g} s, its ActualFrameDuration (0018,1242): earlier "
        "images are missing, and SeriesTime (0008,0031) is not the start of the scan",
        hint="send all images of the series",
    )


def _lacks_time_slices(headers: Sequence[Dataset]) -> bool:
    """Whether a dynamic scan has fewer images than its header defines, or the header does not define their number."""
    if "DYNAMIC" not in split_values(headers[0].get("SeriesType")):
        return False
    try:
        slices, time_slices = (
            int(headers[0].get(keyword) or 0) for keyword in ("NumberOfSlices", "NumberOfTimeSlices")
        )
    except READ_ERRORS:
        return True
    return len(headers) != slices * time_slices


def _acquisition_texts(headers: Sequence[Dataset]) -> set[str]:
    return {f"{header.get('AcquisitionDateTime')} {header.get('AcquisitionTime')}" for header in headers}


def _read_frame(header: Dataset) -> _Frame | None:
    """Returns the times of a frame; None if they are missing or cannot be read."""
    try:
        reference_s = float(header.get("FrameReferenceTime", "")) / 1000
        duration_s = float(header.get("ActualFrameDuration", "")) / 1000
    except READ_ERRORS:
        return None
    return _Frame(reference_s, duration_s) if math.isfinite(reference_s) and duration_s > 0 else None
