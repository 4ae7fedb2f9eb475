"""Dates and UIDs of what is written: the run's clock, and UIDs made from the object's own content."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from io import BytesIO

from pydicom import Dataset, dcmwrite
from pydicom.valuerep import DA, DT, TM

from clickseg.dicom.uids import content_uid

PLACEHOLDER = "2.25.0"
"""Stands for a UID of the object until its content is known."""

_OWN_TEXT = ("ContentDescription", "ContentSequence", "SegmentSequence", "SeriesDescription")
"""What does not come from the source."""

_DATES = ("ContentDate", "InstanceCreationDate", "SeriesDate")
_TIMES = ("ContentTime", "InstanceCreationTime", "SeriesTime")


def identify(dataset: Dataset, clock: datetime) -> None:
    """Stamps a new object with a time, and gives it UIDs that are a hash of everything else in it.

    Args:
        dataset: A new SEG or SR. The UIDs of its instance, its series, its dimension organization and its segments'
            tracking are replaced, whatever they were.
        clock: The time of the run.
    """
    for keyword in _DATES:
        setattr(dataset, keyword, DA(clock.date()))
    for keyword in _TIMES:
        setattr(dataset, keyword, TM(clock.time()))
    dataset.ContributingEquipmentSequence[-1].ContributionDateTime = DT(clock.replace(tzinfo=None))  # highdicom's own
    if not all(str(dataset.get(keyword) or "").isascii() for keyword in _OWN_TEXT):
        dataset.SpecificCharacterSet = "ISO_IR 192"  # that of the source may not have our letters
    own = list(_own_uids(dataset))
    for item, keyword, _ in own:
        setattr(item, keyword, PLACEHOLDER)
    content = encoded(dataset)
    for item, keyword, role in own:
        setattr(item, keyword, content_uid(role, content))


def encoded(dataset: Dataset) -> bytes:
    """Returns an object as the bytes of a DICOM file."""
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def _own_uids(dataset: Dataset) -> Iterator[tuple[Dataset, str, str]]:
    """Yields where an object's own UIDs stand, and the role of each; the same role has the same UID."""
    yield dataset, "SOPInstanceUID", "instance"
    yield dataset.file_meta, "MediaStorageSOPInstanceUID", "instance"
    yield dataset, "SeriesInstanceUID", "series"
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, ()):
            yield item, "DimensionOrganizationUID", "dimensions"
    for segment in dataset.get("SegmentSequence", ()):
        if "TrackingUID" in segment:
            yield segment, "TrackingUID", f"segment {segment.SegmentNumber}"
