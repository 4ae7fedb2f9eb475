"""Whether attributes that ClickSeg computes with hold what PS3.6 says, before anything relies on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from pydicom import Sequence as DicomSequence
from pydicom.datadict import tag_for_keyword

from clickseg.dicom.conversions import Conversions
from clickseg.dicom.part10 import READ_ERRORS, Instance
from clickseg.errors import SeriesError

_INTEGERS = (
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "NumberOfFrames",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "PixelRepresentation",
    "Rows",
    "SamplesPerPixel",
)
_SEQUENCES = (
    "ModalityLUTSequence",
    "PerFrameFunctionalGroupsSequence",
    "RadiopharmaceuticalInformationSequence",
    "SharedFunctionalGroupsSequence",
)
_READ = (
    "AcquisitionDate",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ActualFrameDuration",
    "AttenuationCorrected",
    "CorrectedImage",
    "DecayCorrected",
    "DecayCorrection",
    "DecayCorrectionDateTime",
    "FrameType",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "PatientWeight",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "SUVType",
    "SliceThickness",
    "SeriesDate",
    "SeriesTime",
    "TimezoneOffsetFromUTC",
    "Units",
)
"""Their values are checked where they are used, with what they are used for."""


def check_attributes(instances: Iterable[Instance]) -> None:
    """Checks that whole numbers are whole numbers, sequences are sequences, and the rest can be read.

    Raises:
        SeriesError: An attribute holds something else; the message names the file and the tag.
    """
    conversions = Conversions((*_INTEGERS, *_SEQUENCES, *_READ))
    for instance in instances:
        _check(instance, conversions)


def _check(instance: Instance, conversions: Conversions) -> None:
    for keyword in _INTEGERS:
        value = _value(instance, keyword, conversions)
        if value not in (None, "") and not isinstance(value, int):
            raise _unfit(keyword, instance.name, f"expected a whole number, got {value!r:.60}")
    for keyword in _SEQUENCES:
        value = _value(instance, keyword, conversions)
        if value is not None and not isinstance(value, DicomSequence):
            raise _unfit(keyword, instance.name, f"expected a sequence, got {type(value).__name__}")
        _check_items(value or (), keyword, instance.name)
    for keyword in _READ:
        _value(instance, keyword, conversions)


def _value(instance: Instance, keyword: str, conversions: Conversions) -> Any:
    """Returns an attribute; pydicom converts it only now, and has no error class for what it cannot convert."""
    try:
        return conversions.value(instance.header, keyword)
    except READ_ERRORS as error:
        raise _unfit(keyword, instance.name, f"cannot be read: {type(error).__name__}") from error


def _check_items(items: DicomSequence | tuple[()], keyword: str, name: str) -> None:
    try:
        for item in items:
            deque(item.iterall(), maxlen=0)
    except READ_ERRORS as error:
        raise _unfit(keyword, name, f"an item cannot be read: {type(error).__name__}") from error


def _unfit(keyword: str, name: str, problem: str) -> SeriesError:
    tag = tag_for_keyword(keyword) or 0
    return SeriesError(f"{name}: {keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X}): {problem}")
