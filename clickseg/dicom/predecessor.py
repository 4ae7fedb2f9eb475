"""The chain of refinements: which earlier result a new one carries on, as SR and SEG say it.

Predecessor Documents Sequence (0040,A360) of the SR names the earlier SR and SEG (PS3.3, C.17.2.4); the SEG names the
earlier SEG among the instances that it refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

from pydicom import Dataset
from pydicom import Sequence as DicomSequence
from pydicom.uid import UID

from clickseg.dicom.codes import SEGMENTATIONS
from clickseg.dicom.part10 import READ_ERRORS

MANUFACTURER = "ClickSeg"
"""Manufacturer (0008,0070) and Manufacturer's Model Name (0008,1090) of all that ClickSeg writes."""

_INSTANCE = "ReferencedSOPInstanceUID"


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """A result of ClickSeg that was found beside the images.

    Attributes:
        report: Its SR.
        clicks_sha256: The digest of its clicks.
    """

    report: Dataset
    clicks_sha256: str


def is_own(report: Dataset) -> bool:
    """Whether ClickSeg wrote an SR."""
    return str(report.get("ManufacturerModelName") or "") == MANUFACTURER


def predecessors(earlier: Sequence[EarlierResult], clicks_sha256: str) -> tuple[Dataset, ...]:
    """Returns the items of Predecessor Documents Sequence of a new result.

    The same clicks as those of an earlier result make that result again, with what it carried on. Other clicks carry on
    the newest.

    Args:
        earlier: The earlier results for the same series, the newest first.
        clicks_sha256: The digest of the clicks of the new result.
    """
    for result in earlier:
        if result.clicks_sha256 == clicks_sha256:
            return tuple(_documents(result.report, "PredecessorDocumentsSequence"))
    return tuple(_named(earlier[0].report)) if earlier else ()


def add_earlier_segmentations(segmentation: Dataset, documents: Sequence[Dataset]) -> None:
    """Names the SEGs among predecessor documents as instances that a new SEG refers to (PS3.3, C.12.2)."""
    for series in _series(documents):
        item = Dataset()
        item.SeriesInstanceUID = series.SeriesInstanceUID
        item.ReferencedInstanceSequence = [
            deepcopy(each) for each in series.ReferencedSOPSequence if each.ReferencedSOPClassUID in SEGMENTATIONS
        ]
        if item.ReferencedInstanceSequence:
            segmentation.ReferencedSeriesSequence.append(item)


def _series(documents: Iterable[Dataset]) -> Iterator[Dataset]:
    for study in documents:
        yield from study.ReferencedSeriesSequence


def _named(report: Dataset) -> Iterator[Dataset]:
    """Yields a reference to an SR and the SEG that it is evidence of."""
    evidence = _references(_documents(report, "CurrentRequestedProcedureEvidenceSequence"))
    segmentations = [each for each in evidence if each.sop_class_uid in SEGMENTATIONS]
    own = [_uid(report, keyword) for keyword in ("SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")]
    yield from _study(_uid(report, "StudyInstanceUID"), [_Reference(*own), *segmentations])


class _Reference(NamedTuple):
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def _documents(report: Dataset, keyword: str) -> Iterator[Dataset]:
    """Yields what an SR refers to, made anew from its UIDs; what has none refers to nothing."""
    for study in _items(report, keyword):
        references = [
            _Reference(_uid(series, "SeriesInstanceUID"), _uid(each, "ReferencedSOPClassUID"), _uid(each, _INSTANCE))
            for series in _items(study, "ReferencedSeriesSequence")
            for each in _items(series, "ReferencedSOPSequence")
        ]
        yield from _study(_uid(study, "StudyInstanceUID"), references)


def _items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    try:
        value = dataset.get(keyword)
    except READ_ERRORS:
        return ()
    return value if isinstance(value, DicomSequence) else ()


def _uid(dataset: Dataset, keyword: str) -> str:
    """Returns a UID, empty where there is none."""
    try:
        value = dataset.get(keyword)
    except READ_ERRORS:
        return ""
    return str(value) if isinstance(value, UID) and value.is_valid else ""


def _references(documents: Iterable[Dataset]) -> Iterator[_Reference]:
    for series in _series(documents):
        for each in series.ReferencedSOPSequence:
            yield _Reference(series.SeriesInstanceUID, each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID)


def _study(uid: str, references: Iterable[_Reference]) -> Iterator[Dataset]:
    """Yields the item of a study, if anything in it is referred to."""
    whole = [_series_item(reference) for reference in references if all(reference)]
    if uid and whole:
        study = Dataset()
        study.StudyInstanceUID = uid
        study.ReferencedSeriesSequence = whole
        yield study


def _series_item(reference: _Reference) -> Dataset:
    instance, series = Dataset(), Dataset()
    instance.ReferencedSOPClassUID = reference.sop_class_uid
    instance.ReferencedSOPInstanceUID = reference.sop_instance_uid
    series.SeriesInstanceUID = reference.series_uid
    series.ReferencedSOPSequence = [instance]
    return series
