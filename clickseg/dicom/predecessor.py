"""The chain of refinements: which earlier result a new one carries on, as SR and SEG say it.

Predecessor Documents Sequence (0040,A360) of the SR names the earlier SR and SEG (PS3.3, C.17.2.4); the SEG names the
earlier SEG among the instances that it refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

from pydicom import Dataset

from clickseg.dicom.algorithm import MANUFACTURER
from clickseg.dicom.sop_classes import SEGMENTATIONS


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
            return tuple(deepcopy(list(result.report.get("PredecessorDocumentsSequence") or ())))
    return (_named(earlier[0].report),) if earlier else ()


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


def _series(documents: Sequence[Dataset]) -> Iterator[Dataset]:
    for study in documents:
        yield from study.ReferencedSeriesSequence


def _named(report: Dataset) -> Dataset:
    """Returns a reference to an SR and the SEG that it is evidence of."""
    study = Dataset()
    study.StudyInstanceUID = report.StudyInstanceUID
    evidence = _series(report.get("CurrentRequestedProcedureEvidenceSequence") or ())
    study.ReferencedSeriesSequence = [_series_item(report.SeriesInstanceUID, report.SOPClassUID, report.SOPInstanceUID)]
    for series in evidence:
        for each in series.ReferencedSOPSequence:
            if each.ReferencedSOPClassUID in SEGMENTATIONS:
                study.ReferencedSeriesSequence.append(
                    _series_item(series.SeriesInstanceUID, each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID)
                )
    return study


def _series_item(series_uid: str, sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    instance, series = Dataset(), Dataset()
    instance.ReferencedSOPClassUID = sop_class_uid
    instance.ReferencedSOPInstanceUID = sop_instance_uid
    series.SeriesInstanceUID = series_uid
    series.ReferencedSOPSequence = [instance]
    return series
