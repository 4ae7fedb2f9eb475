"""Makes the DICOM documents of a result, SEG and SR, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import highdicom as hd

from clickseg.dicom.predecessor import predecessor_documents
from clickseg.inference.case import CaseResult
from clickseg.inference.measurements import SegmentMeasurements
from clickseg.results.identity import Algorithm, Document, Provenance
from clickseg.results.segmentation import SegmentationType, make_segmentation
from clickseg.results.structured_report import make_structured_report


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a result.

    Attributes:
        number: The segment number in the SEG.
        class_number: The number of the class in the label map.
        label: The name of the class.
        measurements: The measurements of the segment.
    """

    number: int
    class_number: int
    label: str
    measurements: SegmentMeasurements


@dataclass(frozen=True, slots=True)
class Documents:
    """A result with its DICOM documents.

    Attributes:
        result: The result.
        segments: The segments, numbered as in the SEG; no segments if the result is empty.
        segmentation: The SEG; None if the result is empty.
        structured_report: The SR.
    """

    result: CaseResult
    segments: tuple[Segment, ...]
    segmentation: Document[hd.seg.Segmentation] | None
    structured_report: Document[hd.sr.Comprehensive3DSR]

    @property
    def uid(self) -> str:
        """SOP Instance UID of the SEG, or of the SR if the result is empty; it also names preview and NIfTI."""
        return self.structured_report.uid if self.segmentation is None else self.segmentation.uid


def make_documents(result: CaseResult, clock: datetime, segmentation_type: SegmentationType) -> Documents:
    """Makes the SEG and the SR of a result.

    Args:
        result: The result.
        clock: The date and time of both documents.
        segmentation_type: The encoding of the SEG.

    Raises:
        UsageError: LABELMAP is requested for classes that overlap.
    """
    case = result.case
    segments = _segments(result)
    provenance = Provenance(_algorithm(result), clock, predecessor_documents(case.predecessors, case.clicks.digest))
    segmentation = make_segmentation(
        case.reference_series, result.labels, case.package.spec, provenance, segmentation_type=segmentation_type
    )
    structured_report = make_structured_report(
        case.reference_series.sources,
        None if segmentation is None else segmentation.dataset,
        [segment.measurements for segment in segments],
        case.clicks,
        case.package.spec,
        provenance,
    )
    return Documents(result, segments, segmentation, structured_report)


def _algorithm(result: CaseResult) -> Algorithm:
    package, predicted = result.case.package, result.prediction
    return Algorithm(
        model=package.name,
        model_version=package.version,
        weights_sha256=predicted.weights[0].sha256,
        clicks_sha256=result.case.clicks.digest,
        precision=str(predicted.engine["precision"]),
    )


def _segments(result: CaseResult) -> tuple[Segment, ...]:
    classes = result.case.package.spec.classes
    return tuple(
        Segment(number, class_number, classes[class_number - 1].name, measurements)
        for number, (class_number, measurements) in enumerate(result.measurements.items(), 1)
    )
