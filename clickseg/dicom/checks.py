"""Whether the headers of a series hold what PS3.6 says, and agree with each other, before anything relies on it.

Geometry is checked by ``stack``.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

from pydicom import Sequence as DicomSequence
from pydicom.datadict import tag_for_keyword

from clickseg.core.errors import SeriesError
from clickseg.core.text import counted
from clickseg.dicom.part10 import READ_ERRORS, Conversions, Instance

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

_UID = re.compile(r"^[0-9.]{0,64}$")
_UIDS = {
    "StudyInstanceUID": "(0020,000D)",
    "SeriesInstanceUID": "(0020,000E)",
    "SOPInstanceUID": "(0008,0018)",
    "FrameOfReferenceUID": "(0020,0052)",
}

MAX_PLANE_PIXELS = 1 << 26
"""The largest plane that is allocated: 8192 x 8192."""


def check_attributes(instances: Iterable[Instance]) -> None:
    """Checks that whole numbers are whole numbers, sequences are sequences, and the rest can be read.

    Raises:
        SeriesError: An attribute holds something else; the message names the file and the tag.
    """
    conversions = Conversions((*_INTEGERS, *_SEQUENCES, *_READ))
    for instance in instances:
        _check_values(instance, conversions)


def check_whole(instances: Sequence[Instance]) -> None:
    """Refuses a multi-frame image that was split into a Concatenation (PS3.3, C.7.6.16.2.2.4).

    Raises:
        SeriesError: An instance is one of several parts.
    """
    for instance in instances:
        if instance.text("ConcatenationUID") and instance.text("InConcatenationTotalNumber") != "1":
            raise SeriesError(
                f"{instance.name}: ConcatenationUID (0020,9161): only a part of a multi-frame image",
                hint="send the image as one instance, or as single-frame images",
            )


def check_uids(instances: Sequence[Instance]) -> None:
    """Checks that a result can refer to each instance, and that all belong to one study, frame and modality.

    Raises:
        SeriesError: A UID is empty, differs where it should not, or names two different files.
    """
    _check_filled(instances, "StudyInstanceUID", "(0020,000D)")
    _check_filled(instances, "SeriesInstanceUID", "(0020,000E)")
    _check_filled(instances, "SOPInstanceUID", "(0008,0018)")
    _check_filled(instances, "Modality", "(0008,0060)")
    for keyword, tag in _UIDS.items():
        _check_uid(instances, keyword, tag)
    _check_same_patient(instances)
    _check_same(instances, "StudyInstanceUID", "(0020,000D)")
    _check_same(instances, "FrameOfReferenceUID", "(0020,0052)")
    _check_same(instances, "Modality", "(0008,0060)")
    twice = [uid for uid, n in Counter(i.text("SOPInstanceUID") for i in instances).items() if n > 1]
    if twice:
        names = [i.name for i in instances if i.text("SOPInstanceUID") == twice[0]]
        raise SeriesError(
            f"SOPInstanceUID (0008,0018) is the same in {len(names)} different files: {', '.join(names[:3])}",
            hint="remove all but one of them",
        )


def check_size(instances: Sequence[Instance]) -> tuple[int, int]:
    """Returns the rows and columns that all instances share.

    Raises:
        SeriesError: They differ, or are missing or absurd.
    """
    sizes = Counter((instance.header.get("Rows"), instance.header.get("Columns")) for instance in instances)
    (rows, columns), _ = sizes.most_common(1)[0]
    if len(sizes) > 1:
        odd = next(i for i in instances if (i.header.get("Rows"), i.header.get("Columns")) != (rows, columns))
        raise SeriesError(
            f"{odd.name}: Rows x Columns (0028,0010) (0028,0011): expected {rows} x {columns} as in the other images, "
            f"got {odd.header.get('Rows')} x {odd.header.get('Columns')}"
        )
    if not rows or not columns or rows * columns > MAX_PLANE_PIXELS:
        raise SeriesError(
            f"{instances[0].name}: Rows x Columns (0028,0010) (0028,0011): expected 1 to {MAX_PLANE_PIXELS} pixels, "
            f"got {rows} x {columns}"
        )
    return rows, columns


def _check_values(instance: Instance, conversions: Conversions) -> None:
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


def _unfit(keyword: str, name: str, problem: str) -> SeriesError:
    tag = tag_for_keyword(keyword) or 0
    return SeriesError(f"{name}: {keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X}): {problem}")


def _check_items(items: DicomSequence | tuple[()], keyword: str, name: str) -> None:
    try:
        for item in items:
            deque(item.iterall(), maxlen=0)
    except READ_ERRORS as error:
        raise _unfit(keyword, name, f"an item cannot be read: {type(error).__name__}") from error


def _check_filled(instances: Sequence[Instance], keyword: str, tag: str) -> None:
    empty = [instance.name for instance in instances if not instance.text(keyword)]
    if empty:
        raise SeriesError(
            f"{keyword} {tag} is empty in {counted(len(empty), 'file')}, such as {empty[0]}: "
            "a result could not refer to them"
        )


def _check_uid(instances: Sequence[Instance], keyword: str, tag: str) -> None:
    """Refuses what no UID can be (PS3.5, 9.1), since the result would repeat it; other oddities are let alone."""
    for instance in instances:
        if not _UID.match(instance.text(keyword)):
            raise SeriesError(f"{instance.name}: {keyword} {tag}: expected a UID, got {instance.text(keyword)!r:.80}")


def _check_same_patient(instances: Sequence[Instance]) -> None:
    """Refuses a series of several patients, without naming them."""
    for keyword, tag in (("PatientID", "(0010,0020)"), ("PatientName", "(0010,0010)")):
        values = {instance.text(keyword) for instance in instances}
        if len(values) > 1:
            raise SeriesError(f"{keyword} {tag}: expected one patient in a series, got {len(values)} values")


def _check_same(instances: Sequence[Instance], keyword: str, tag: str) -> None:
    values = Counter(instance.text(keyword) for instance in instances)
    if len(values) > 1:
        shown = ", ".join(f"{value or 'nothing'} in {counted(count, 'file')}" for value, count in values.most_common(3))
        raise SeriesError(f"{keyword} {tag}: expected one value in a series, got {shown}")
