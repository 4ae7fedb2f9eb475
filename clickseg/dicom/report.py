"""Writing what was measured as a DICOM SR by TID 1500 (PS3.16)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import highdicom as hd
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

from clickseg import __version__
from clickseg.dicom.algorithm import MANUFACTURER, Algorithm
from clickseg.dicom.codes import IMAGING_PROCEDURE, MILLILITER, to_code
from clickseg.dicom.identity import PLACEHOLDER, identify
from clickseg.dicom.segmentation import series_number
from clickseg.dicom.uids import content_uid
from clickseg.models.spec import ClassSpec, ModelSpec

SERIES_NUMBER_OFFSET = 9500

Group: TypeAlias = sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations


def make_report(
    sources: Sequence[Dataset],
    segmentation: hd.seg.Segmentation | None,
    volumes_ml: Sequence[float],
    spec: ModelSpec,
    algorithm: Algorithm,
    *,
    clock: datetime,
) -> sr.Comprehensive3DSR:
    """Returns the TID 1500 report of a result.

    Args:
        sources: The headers of the series that was segmented, by ``reference_headers``.
        segmentation: The SEG, or None where nothing was found.
        volumes_ml: The volume of each of its segments, in their order.
        spec: The model's classes.
        algorithm: What made the result.
        clock: The time of the run.

    Returns:
        One TID 1411 group per segment, with the segment's tracking UID; for an empty result one TID 1501 group of 0 ml.
    """
    if segmentation is None:
        groups: Sequence[Group] = [_empty_group(spec, sources)]
    else:
        groups = [
            _group(segmentation, number, volume_ml, spec, algorithm) for number, volume_ml in enumerate(volumes_ml, 1)
        ]
    report = sr.Comprehensive3DSR(
        evidence=[*sources, *([segmentation] if segmentation is not None else [])],
        content=_content(groups),
        series_instance_uid=PLACEHOLDER,
        series_number=series_number(sources[0], SERIES_NUMBER_OFFSET),
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="0",
        is_complete=True,
        series_description=algorithm.name,
    )
    identify(report, clock)
    return report


def _content(groups: Sequence[Group]) -> sr.MeasurementReport:
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


def _group(
    segmentation: hd.seg.Segmentation, number: int, volume_ml: float, spec: ModelSpec, algorithm: Algorithm
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Returns the TID 1411 group of one segment."""
    segment = segmentation.get_segment_description(number)
    found = next(each for each in spec.classes if each.name == segment.segment_label)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=segment.tracking_uid, identifier=segment.tracking_id),
        referenced_segment=_reference(segmentation, number),
        finding_category=to_code(found.category),
        finding_type=to_code(found.type),
        finding_sites=_sites(found),
        algorithm_id=sr.AlgorithmIdentification(algorithm.name, __version__),
        measurements=[_volume(volume_ml)],
    )


def _reference(segmentation: hd.seg.Segmentation, number: int) -> sr.ReferencedSegment:
    series_uid = segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    return sr.ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        number,
        source_series=sr.SourceSeriesForSegmentation(series_uid),
    )


def _empty_group(spec: ModelSpec, sources: Sequence[Dataset]) -> sr.MeasurementsAndQualitativeEvaluations:
    """Returns the TID 1501 group that says that nothing was found."""
    only = spec.classes[0] if len(spec.classes) == 1 else None
    uid = content_uid("nothing found", *(str(source.SOPInstanceUID) for source in sources))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=only.name if only else "all classes"),
        finding_category=to_code(only.category) if only else None,
        finding_type=to_code(only.type) if only else None,
        measurements=[_volume(0.0)],
    )


def _volume(volume_ml: float) -> sr.Measurement:
    return sr.Measurement(name=codes.SCT.Volume, value=volume_ml, unit=MILLILITER)


def _sites(spec: ClassSpec) -> list[sr.FindingSite] | None:
    return [sr.FindingSite(to_code(spec.anatomic_region))] if spec.anatomic_region else None
