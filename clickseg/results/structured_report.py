"""Makes a DICOM SR with clicks and measurements by TID 1500 (PS3.16)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import TypeAlias

import highdicom as hd
import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from clickseg.clicks.click import Click, Clicks
from clickseg.core.version import __version__
from clickseg.dicom.codes import CLICK_ORDER, CLICK_POLARITY, IMAGING_PROCEDURE, SEED_POINT, content_digest, content_uid
from clickseg.dicom.predecessor import MANUFACTURER
from clickseg.inference.measurements import SegmentMeasurements, Uptake
from clickseg.models.spec import ClassSpec, ModelSpec
from clickseg.results.identity import Algorithm, Document, Identity, Provenance, finish_document, make_identity
from clickseg.results.segmentation import series_number, to_code

_SCHEME = "99CLICKSEG"
_MILLILITER = Code("ml", "UCUM", "milliliter")
_GRAM = Code("g", "UCUM", "gram")
_SUV = Code("126401", "DCM", "SUVbw")
_SUV_UNIT = codes.UCUM.StandardizedUptakeValueBodyWeight
_SERIES_NUMBER_OFFSET = 9500

_Group: TypeAlias = (
    sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | sr.MeasurementsAndQualitativeEvaluations
    | sr.PlanarROIMeasurementsAndQualitativeEvaluations
)


def make_structured_report(
    sources: Sequence[Dataset],
    segmentation: hd.seg.Segmentation | None,
    measurements: Sequence[SegmentMeasurements],
    clicks: Clicks,
    spec: ModelSpec,
    provenance: Provenance,
) -> Document[sr.Comprehensive3DSR]:
    """Returns the TID 1500 report of a result.

    Args:
        sources: The headers of the segmented series, made by ``reference_headers``.
        segmentation: The SEG, or None if the result is empty.
        measurements: The measurements of each segment, in the order of the segments.
        clicks: The clicks that were used, with the names of the model's classes as labels.
        spec: The model's classes.
        provenance: The algorithm, the time and the predecessors of the result.

    Returns:
        A report with one TID 1411 group per segment, with the segment's tracking UID, or for an empty result with one
        TID 1501 group of 0 ml; and with one TID 1410 group per click, with the tracking UID of its class's segment.
    """
    groups: list[_Group] = []
    algorithm = provenance.algorithm
    if segmentation is None:
        groups.append(_empty_group(spec, sources))
    else:
        groups += [
            _segment_group(segmentation, number, values, spec, algorithm)
            for number, values in enumerate(measurements, 1)
        ]
    classes = {class_spec.name: class_spec for class_spec in spec.classes}
    groups += _click_groups(
        clicks, _frame_of_reference_uid(sources), classes, _tracking_uids(clicks, sources, segmentation)
    )
    evidence = [*sources, *([segmentation] if segmentation is not None else [])]
    identity = make_identity(
        "report",
        provenance.clock,
        sources,
        provenance.digest,
        content_digest(*(class_spec.model_dump_json() for class_spec in spec.classes)),
        "" if segmentation is None else str(segmentation.SOPInstanceUID),
        json.dumps([astuple(values) for values in measurements]),  # values alone: names may change
        clicks.digest,
    )
    return _report(groups, evidence, provenance.predecessors, algorithm.name, identity)


def make_click_report(sources: Sequence[Dataset], clicks: Clicks, *, clock: datetime) -> Document[sr.Comprehensive3DSR]:
    """Returns a TID 1500 report that contains only clicks on a series.

    Args:
        sources: The headers of the series, made by ``reference_headers``.
        clicks: The clicks; their labels need not be those of a model.
        clock: The date and time of the report.
    """
    groups = _click_groups(clicks, _frame_of_reference_uid(sources), {}, _tracking_uids(clicks, sources, None))
    identity = make_identity("clicks", clock, sources, clicks.digest)
    return _report(groups, sources, (), f"{MANUFACTURER} clicks", identity)


def _empty_group(spec: ModelSpec, sources: Sequence[Dataset]) -> sr.MeasurementsAndQualitativeEvaluations:
    """Returns the TID 1501 group of an empty result."""
    only_class = spec.classes[0] if len(spec.classes) == 1 else None
    uid = content_uid("nothing found", *(str(source.SOPInstanceUID) for source in sources))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=only_class.name if only_class else "all classes"),
        finding_category=to_code(only_class.category) if only_class else None,
        finding_type=to_code(only_class.type) if only_class else None,
        measurements=[_volume_measurement(0.0)],
    )


def _volume_measurement(volume_ml: float) -> sr.Measurement:
    return sr.Measurement(name=codes.SCT.Volume, value=volume_ml, unit=_MILLILITER)


def _segment_group(
    segmentation: hd.seg.Segmentation,
    number: int,
    measurements: SegmentMeasurements,
    spec: ModelSpec,
    algorithm: Algorithm,
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Returns the TID 1411 group of one segment."""
    segment = segmentation.get_segment_description(number)
    class_spec = next(entry for entry in spec.classes if entry.name == segment.segment_label)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=segment.tracking_uid, identifier=segment.tracking_id),
        referenced_segment=_referenced_segment(segmentation, number),
        finding_category=to_code(class_spec.category),
        finding_type=to_code(class_spec.type),
        finding_sites=_finding_sites(class_spec),
        algorithm_id=sr.AlgorithmIdentification(algorithm.name, __version__),
        measurements=_measurement_items(measurements),
    )


def _referenced_segment(segmentation: hd.seg.Segmentation, number: int) -> sr.ReferencedSegment:
    series_uid = segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    return sr.ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        number,
        source_series=sr.SourceSeriesForSegmentation(series_uid),
    )


def _finding_sites(spec: ClassSpec) -> list[sr.FindingSite] | None:
    """Returns the region of the class; for a paired structure, also its side (TID 1419)."""
    if spec.type_modifier:
        site = spec.anatomic_region or spec.type
        return [sr.FindingSite(to_code(site), laterality=to_code(spec.type_modifier))]
    return [sr.FindingSite(to_code(spec.anatomic_region))] if spec.anatomic_region else None


def _measurement_items(measurements: SegmentMeasurements) -> list[sr.Measurement]:
    """Returns the measurements of a segment (TID 1411): volume, and for PET SUVmax, SUVmean, SUVpeak and TLG."""
    volume = _volume_measurement(measurements.volume_ml)
    return [volume, *(_uptake_items(measurements.uptake) if measurements.uptake else [])]


def _uptake_items(uptake: Uptake) -> list[sr.Measurement]:
    derived = (
        (uptake.suv_max, codes.SCT.Maximum),
        (uptake.suv_mean, codes.SCT.Mean),
        (uptake.suv_peak, codes.DCM.PeakValueWithinROI),
    )
    suv = [sr.Measurement(name=_SUV, value=value, unit=_SUV_UNIT, derivation=code) for value, code in derived]
    return [*suv, sr.Measurement(name=codes.DCM.TotalLesionGlycolysis, value=uptake.tlg_g, unit=_GRAM)]


def _click_groups(
    clicks: Clicks, frame_of_reference_uid: str, classes: Mapping[str, ClassSpec], tracking: Mapping[str, str]
) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Returns a TID 1410 group for each click: a point in patient coordinates whose purpose is a seed point.

    Args:
        clicks: The clicks; their labels become tracking identifiers.
        frame_of_reference_uid: The frame of reference of the series.
        classes: The model's classes by label, for their codes; empty without a model.
        tracking: For each label the tracking UID, which is also that of its segment.
    """
    return [
        _click_group(click, order, frame_of_reference_uid, classes.get(click.label), tracking[click.label])
        for order, click in enumerate(clicks.points, 1)
    ]


def _click_group(
    click: Click, order: int, frame_of_reference_uid: str, class_spec: ClassSpec | None, tracking_uid: str
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    polarity = click.polarity.value
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=tracking_uid, identifier=click.label or "click"),
        referenced_region=sr.ImageRegion3D("POINT", np.array([click.position_mm]), frame_of_reference_uid),
        finding_category=to_code(class_spec.category) if class_spec else None,
        finding_type=to_code(class_spec.type) if class_spec else None,
        geometric_purpose=SEED_POINT,
        qualitative_evaluations=[
            sr.QualitativeEvaluation(CLICK_POLARITY, Code(polarity, _SCHEME, polarity.capitalize())),
            sr.QualitativeEvaluation(CLICK_ORDER, Code(str(order), _SCHEME, f"Click {order}")),
        ],
    )


def _frame_of_reference_uid(sources: Sequence[Dataset]) -> str:
    return str(sources[0].FrameOfReferenceUID)


def _tracking_uids(
    clicks: Clicks, sources: Sequence[Dataset], segmentation: hd.seg.Segmentation | None
) -> dict[str, str]:
    """Returns the tracking UID of each label: that of its segment, or a new one if it has no segment."""
    series_uid = str(sources[0].SeriesInstanceUID)
    new = {click.label: content_uid("clicks", series_uid, click.label) for click in clicks.points}
    segments = segmentation.SegmentSequence if segmentation is not None else ()
    from_segments = {str(s.SegmentLabel): str(s.TrackingUID) for s in segments if "TrackingUID" in s}
    return new | from_segments


def _report(
    groups: Sequence[_Group],
    evidence: Sequence[Dataset],
    predecessors: Sequence[Dataset],
    description: str,
    identity: Identity,
) -> Document[sr.Comprehensive3DSR]:
    report = sr.Comprehensive3DSR(
        evidence=evidence,
        content=_report_content(groups),
        series_instance_uid=identity.uid("series"),
        series_number=series_number(evidence[0], _SERIES_NUMBER_OFFSET),
        sop_instance_uid=identity.uid("instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="0",
        is_complete=True,
        series_description=description,
    )
    if predecessors:
        report.PredecessorDocumentsSequence = list(predecessors)
    return finish_document(report, identity)


def _report_content(groups: Sequence[_Group]) -> sr.MeasurementReport:
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=content_uid("device", MANUFACTURER, __version__),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=f"{MANUFACTURER} {__version__}",
        ),
    )
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=IMAGING_PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
