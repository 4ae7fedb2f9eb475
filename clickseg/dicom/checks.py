"""Checks of the headers of a series: value types (PS3.6), UIDs, and attributes that must be equal in all instances.

``aligned_planes`` and ``stack`` check the geometry.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

from pydicom import Sequence as DicomSequence

from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.attribute_names import name_with_tag
from clickseg.dicom.conversion import READ_ERRORS, ConversionCache
from clickseg.dicom.hints import INVALID_VALUE_HINT
from clickseg.dicom.part10 import Instance
from clickseg.dicom.patient import comparable_id, comparable_name

_INTEGER_KEYWORDS = (
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
_SEQUENCE_KEYWORDS = (
    "ModalityLUTSequence",
    "PerFrameFunctionalGroupsSequence",
    "RadiopharmaceuticalInformationSequence",
    "SharedFunctionalGroupsSequence",
)
_READABLE_KEYWORDS = (
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
"""Attributes that must be readable. Their values are checked by the code that uses them."""

_UID_PATTERN = re.compile(r"^[0-9.]{0,64}$")
_REQUIRED_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality")
_UID_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_COMMON_KEYWORDS = ("StudyInstanceUID", "FrameOfReferenceUID", "Modality")
_PATIENT_KEYWORDS = (("PatientID", comparable_id), ("PatientName", comparable_name))

MAX_PLANE_PIXELS = 1 << 26
"""The largest plane that is allocated, in pixels: 8192 x 8192."""


def check_attributes(instances: Iterable[Instance]) -> None:
    """Checks that integers are integers, that sequences are sequences, and that the other attributes can be read.

    Raises:
        SeriesError: An attribute has an invalid value; the message names the file and the tag.
    """
    conversions = ConversionCache((*_INTEGER_KEYWORDS, *_SEQUENCE_KEYWORDS, *_READABLE_KEYWORDS))
    for instance in instances:
        _check_values(instance, conversions)


def check_not_concatenated(instances: Sequence[Instance]) -> None:
    """Rejects a multi-frame image that was split into a Concatenation (PS3.3, C.7.6.16.2.2.4).

    Raises:
        SeriesError: An instance is one of several parts.
    """
    for instance in instances:
        if instance.text("ConcatenationUID") and instance.text("InConcatenationTotalNumber") != "1":
            raise SeriesError(
                f"{instance.name}: ConcatenationUID (0020,9161): the instance is only a part of a multi-frame image",
                hint="send the image as one instance, or as single-frame images",
            )


def check_uids(instances: Sequence[Instance]) -> None:
    """Checks that a result can refer to each instance.

    All instances must have the same patient, study, frame of reference and modality.

    Raises:
        SeriesError: A UID is empty or invalid, differs between the instances, or identifies two different files.
    """
    for keyword in _REQUIRED_KEYWORDS:
        _check_not_empty(instances, keyword)
    for keyword in _UID_KEYWORDS:
        _check_uid(instances, keyword)
    _check_same_patient(instances)
    for keyword in _COMMON_KEYWORDS:
        _check_same_value(instances, keyword)
    _check_distinct(instances)


def common_size(instances: Sequence[Instance]) -> tuple[int, int]:
    """Returns the rows and columns that all instances share.

    Raises:
        SeriesError: Rows or Columns differ, are missing, or are out of bounds.
    """
    sizes = Counter((instance.header.get("Rows"), instance.header.get("Columns")) for instance in instances)
    (rows, columns), _ = sizes.most_common(1)[0]
    if len(sizes) > 1:
        outlier = next(i for i in instances if (i.header.get("Rows"), i.header.get("Columns")) != (rows, columns))
        raise SeriesError(
            f"{outlier.name}: Rows x Columns (0028,0010) (0028,0011): expected {rows} x {columns} as in the other "
            f"images, got {outlier.header.get('Rows')} x {outlier.header.get('Columns')}",
            hint="remove the images of another size, or send them as a series of their own",
        )
    if not rows or not columns or rows * columns > MAX_PLANE_PIXELS:
        raise SeriesError(
            f"{instances[0].name}: Rows x Columns (0028,0010) (0028,0011): expected 1 to {MAX_PLANE_PIXELS} pixels, "
            f"got {rows} x {columns}",
            hint="send the series again; if its values are unchanged, ask the sending modality",
        )
    return rows, columns


def _check_values(instance: Instance, conversions: ConversionCache) -> None:
    for keyword in _INTEGER_KEYWORDS:
        value = _read_value(instance, keyword, conversions)
        if value not in (None, "") and not isinstance(value, int):
            raise _attribute_error(keyword, instance.name, f"expected an integer, got {value!r:.60}")
    for keyword in _SEQUENCE_KEYWORDS:
        value = _read_value(instance, keyword, conversions)
        if value is not None and not isinstance(value, DicomSequence):
            raise _attribute_error(keyword, instance.name, f"expected a sequence, got {type(value).__name__}")
        _check_items(value or (), keyword, instance.name)
    for keyword in _READABLE_KEYWORDS:
        _read_value(instance, keyword, conversions)


def _read_value(instance: Instance, keyword: str, conversions: ConversionCache) -> Any:
    """Returns the value of an attribute.

    pydicom converts the value only now, and has no error class for values that it cannot convert.
    """
    try:
        return conversions.value(instance.header, keyword)
    except READ_ERRORS as error:
        raise _attribute_error(keyword, instance.name, f"cannot be read: {type(error).__name__}") from error


def _attribute_error(keyword: str, name: str, problem: str) -> SeriesError:
    return SeriesError(f"{name}: {name_with_tag(keyword)}: {problem}", hint=INVALID_VALUE_HINT)


def _check_items(items: DicomSequence | tuple[()], keyword: str, name: str) -> None:
    try:
        for item in items:
            deque(item.iterall(), maxlen=0)
    except READ_ERRORS as error:
        raise _attribute_error(keyword, name, f"an item cannot be read: {type(error).__name__}") from error


def _check_not_empty(instances: Sequence[Instance], keyword: str) -> None:
    names = [instance.name for instance in instances if not instance.text(keyword)]
    if names:
        raise SeriesError(
            f"{name_with_tag(keyword)} is empty in {format_count(len(names), 'file')}, such as {names[0]}: "
            "the result could not refer to the images",
            hint="repeat the export or the de-identification with a value for each image",
        )


def _check_uid(instances: Sequence[Instance], keyword: str) -> None:
    """Rejects values that cannot be a UID (PS3.5, 9.1), because the result would repeat them.

    Other violations of the rules for UIDs are accepted.
    """
    for instance in instances:
        if not _UID_PATTERN.match(instance.text(keyword)):
            raise SeriesError(
                f"{instance.name}: {name_with_tag(keyword)}: expected a UID, got {instance.text(keyword)!r:.80}",
                hint="repeat the export or the de-identification with UIDs of digits and dots, at most 64 characters",
            )


def _check_same_patient(instances: Sequence[Instance]) -> None:
    """Rejects a series of several patients; the message does not contain their names."""
    for keyword, comparable in _PATIENT_KEYWORDS:
        values = {comparable(instance.text(keyword)) for instance in instances}
        if len(values) > 1:
            raise SeriesError(
                f"{name_with_tag(keyword)}: expected one patient in a series, got {len(values)} values",
                hint="find out to which patient each image belongs, and send the images of each patient as a series of "
                "their own; if all are of one patient, repeat the export with one value",
            )


def _check_same_value(instances: Sequence[Instance], keyword: str) -> None:
    values = Counter(instance.text(keyword) for instance in instances)
    if len(values) > 1:
        summary = ", ".join(
            f"{value or 'no value'} in {format_count(count, 'file')}" for value, count in values.most_common(3)
        )
        raise SeriesError(
            f"{name_with_tag(keyword)}: expected one value in a series, got {summary}",
            hint="send the images of each value as a series of their own",
        )


def _check_distinct(instances: Sequence[Instance]) -> None:
    """Rejects different files with one SOP Instance UID."""
    uid_counts = Counter(instance.text("SOPInstanceUID") for instance in instances)
    duplicates = [uid for uid, count in uid_counts.items() if count > 1]
    if duplicates:
        same = [instance for instance in instances if instance.text("SOPInstanceUID") == duplicates[0]]
        positions = {str(instance.header.get("ImagePositionPatient")) for instance in same}
        raise SeriesError(
            f"SOPInstanceUID (0008,0018) is the same in {len(same)} different files: "
            f"{', '.join(instance.name for instance in same[:3])}",
            hint="remove all but one of them"
            if len(positions) == 1
            else "they are different slices: repeat the export or the de-identification, with a UID for each image",
        )
