"""References from a new result to its predecessor, the result that it refines.

Predecessor Documents Sequence (0040,A360) of the new SR references the previous SR and SEG (PS3.3, C.17.2.4). The new
SEG references the previous SEG among its referenced instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

from pydicom import Dataset
from pydicom import Sequence as DicomSequence
from pydicom.uid import UID

from clickseg.dicom.codes import SEGMENTATION_SOP_CLASSES
from clickseg.dicom.conversion import READ_ERRORS

MANUFACTURER = "ClickSeg"
"""Manufacturer (0008,0070) and Manufacturer's Model Name (0008,1090) of all objects that ClickSeg writes."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A previous result of ClickSeg that was found in the input, next to the images.

    Attributes:
        report: The SR of the previous result.
        clicks_sha256: The digest of the clicks in the SR.
    """

    report: Dataset
    clicks_sha256: str


def is_written_by_clickseg(report: Dataset) -> bool:
    """Whether an SR was written by ClickSeg."""
    return str(report.get("ManufacturerModelName") or "") == MANUFACTURER


def predecessor_documents(results: Sequence[Predecessor], clicks_sha256: str) -> tuple[Dataset, ...]:
    """Returns the items of Predecessor Documents Sequence (0040,A360) of a new result.

    If the clicks are the same as in a previous result, the new result repeats it and has the same predecessor.
    Otherwise the newest earlier result is the predecessor.

    Args:
        results: The earlier results of the same series, sorted from newest to oldest.
        clicks_sha256: The digest of the clicks of the new result.
    """
    for result in results:
        if result.clicks_sha256 == clicks_sha256:
            return tuple(_copy_references(result.report, "PredecessorDocumentsSequence"))
    return tuple(_references_to(results[0].report)) if results else ()


def add_predecessor_segmentations(segmentation: Dataset, documents: Sequence[Dataset]) -> None:
    """Adds the SEGs among predecessor documents to the referenced instances of a new SEG (PS3.3, C.12.2)."""
    for series in _referenced_series(documents):
        item = Dataset()
        item.SeriesInstanceUID = series.SeriesInstanceUID
        item.ReferencedInstanceSequence = [
            deepcopy(instance)
            for instance in series.ReferencedSOPSequence
            if instance.ReferencedSOPClassUID in SEGMENTATION_SOP_CLASSES
        ]
        if item.ReferencedInstanceSequence:
            segmentation.ReferencedSeriesSequence.append(item)


def _referenced_series(documents: Iterable[Dataset]) -> Iterator[Dataset]:
    for study in documents:
        yield from study.ReferencedSeriesSequence


def _references_to(report: Dataset) -> Iterator[Dataset]:
    """Yields a reference to an SR and to the SEGs in its evidence."""
    evidence = _list_references(_copy_references(report, "CurrentRequestedProcedureEvidenceSequence"))
    segmentations = [reference for reference in evidence if reference.sop_class_uid in SEGMENTATION_SOP_CLASSES]
    uids = [_read_uid(report, keyword) for keyword in ("SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")]
    yield from _study_items(_read_uid(report, "StudyInstanceUID"), [_Reference(*uids), *segmentations])


class _Reference(NamedTuple):
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def _copy_references(report: Dataset, keyword: str) -> Iterator[Dataset]:
    """Yields new items with the references in a sequence of an SR; references without valid UIDs are omitted."""
    for study in _read_items(report, keyword):
        references = [
            _Reference(
                _read_uid(series, "SeriesInstanceUID"),
                _read_uid(instance, "ReferencedSOPClassUID"),
                _read_uid(instance, "ReferencedSOPInstanceUID"),
            )
            for series in _read_items(study, "ReferencedSeriesSequence")
            for instance in _read_items(series, "ReferencedSOPSequence")
        ]
        yield from _study_items(_read_uid(study, "StudyInstanceUID"), references)


def _read_items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    try:
        value = dataset.get(keyword)
    except READ_ERRORS:
        return ()
    return value if isinstance(value, DicomSequence) else ()


def _read_uid(dataset: Dataset, keyword: str) -> str:
    """Returns a UID; empty if it is missing or invalid."""
    try:
        value = dataset.get(keyword)
    except READ_ERRORS:
        return ""
    return str(value) if isinstance(value, UID) and value.is_valid else ""


def _list_references(documents: Iterable[Dataset]) -> Iterator[_Reference]:
    for series in _referenced_series(documents):
        for instance in series.ReferencedSOPSequence:
            yield _Reference(
                series.SeriesInstanceUID, instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID
            )


def _study_items(uid: str, references: Iterable[_Reference]) -> Iterator[Dataset]:
    """Yields the item of a study if it contains a complete reference."""
    series_items = [_series_item(reference) for reference in references if all(reference)]
    if uid and series_items:
        study = Dataset()
        study.StudyInstanceUID = uid
        study.ReferencedSeriesSequence = series_items
        yield study


def _series_item(reference: _Reference) -> Dataset:
    instance, series = Dataset(), Dataset()
    instance.ReferencedSOPClassUID = reference.sop_class_uid
    instance.ReferencedSOPInstanceUID = reference.sop_instance_uid
    series.SeriesInstanceUID = reference.series_uid
    series.ReferencedSOPSequence = [instance]
    return series
