"""Makes a DICOM Segmentation (PS3.3, A.51) from a label map.

The frames are in the order of the source planes, each with the plane position of its source and a reference to it. On
the uniform grid of a volume, both would be lost if the slice positions of the series jitter.
"""

from __future__ import annotations

from enum import Enum

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code

from clickseg.core.arrays import LabelArray
from clickseg.core.errors import UsageError
from clickseg.core.label_map import LabelMap
from clickseg.core.version import __version__
from clickseg.dicom.codes import content_digest
from clickseg.dicom.predecessor import MANUFACTURER, add_predecessor_segmentations
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.measurements import segmented_classes
from clickseg.models.spec import ClassSpec, ModelSpec
from clickseg.models.spec import Code as SpecCode
from clickseg.results.identity import Algorithm, Document, Identity, Provenance, finish_document, make_identity
from clickseg.results.segmentation_sources import correct_references, segmentation_sources, to_frame_order

_SERIES_NUMBER_OFFSET = 9000
_MAX_SERIES_NUMBER = 2**31 - 1


class SegmentationType(str, Enum):
    """Segmentation Type (0062,0001)."""

    BINARY = "BINARY"
    LABELMAP = "LABELMAP"


def check_encoding(spec: ModelSpec, segmentation_type: SegmentationType) -> None:
    """Rejects an encoding that cannot represent the result of a model.

    Raises:
        UsageError: LABELMAP is requested for classes that overlap.
    """
    if spec.has_overlapping_classes and segmentation_type is SegmentationType.LABELMAP:
        raise UsageError(
            "segmentation-type: LABELMAP cannot represent classes that overlap", hint="use BINARY for this model"
        )


def make_segmentation(
    series: SeriesVolume,
    labels: LabelMap,
    spec: ModelSpec,
    provenance: Provenance,
    *,
    segmentation_type: SegmentationType,
) -> Document[hd.seg.Segmentation] | None:
    """Returns the SEG of a result, or None if the result is empty.

    Args:
        series: The segmented series; the SEG references all its instances.
        labels: The label map on the volume's grid [K, J, I].
        spec: The model's classes, with their codes.
        provenance: The algorithm, the time and the predecessors of the result.
        segmentation_type: BINARY, or LABELMAP for classes that do not overlap.

    Returns:
        A SEG with one segment for each class in the label map, numbered from 1 in the model's order.

    Raises:
        UsageError: LABELMAP is requested for classes that overlap.
    """
    check_encoding(spec, segmentation_type)
    algorithm = provenance.algorithm
    present = segmented_classes(series, labels)
    if not present:
        return None
    identity = _identity(series, labels, spec, provenance, segmentation_type)
    segmentation = hd.seg.Segmentation(
        source_images=segmentation_sources(series),
        pixel_array=to_frame_order(series, _segment_pixels(series, labels, present)),
        segmentation_type=segmentation_type.value,
        segment_descriptions=[
            _segment_description(order, spec.classes[number - 1], algorithm, identity)
            for order, number in enumerate(present, 1)
        ],
        series_instance_uid=identity.uid("series"),
        series_number=series_number(series.sources[0], _SERIES_NUMBER_OFFSET),
        sop_instance_uid=identity.uid("instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description=algorithm.name,
        series_description=algorithm.name,
    )
    correct_references(segmentation, series)
    add_predecessor_segmentations(segmentation, provenance.predecessors)
    return finish_document(segmentation, identity)


def series_number(source: Dataset, offset: int) -> int:
    """Returns the series number of a result: that of its source plus an offset beyond the numbers that scanners use."""
    number = int(source.get("SeriesNumber") or 0)
    return offset + number if 0 <= number <= _MAX_SERIES_NUMBER - offset else offset


def to_code(code: SpecCode) -> Code:
    """Returns a coded concept of a model package."""
    return Code(code.value, code.scheme, code.meaning)


def _identity(
    series: SeriesVolume,
    labels: LabelMap,
    spec: ModelSpec,
    provenance: Provenance,
    segmentation_type: SegmentationType,
) -> Identity:
    """Returns the time and the UIDs of the SEG of a label map."""
    array = np.ascontiguousarray(series.slices_at_planes(labels.array))
    return make_identity(
        f"segmentation {segmentation_type.value}",
        provenance.clock,
        series.sources,
        provenance.digest,
        content_digest(*(class_spec.model_dump_json() for class_spec in spec.classes)),
        repr([plane.frame_number for plane in series.stack.planes]),
        repr((labels.is_overlapping, labels.class_count, array.shape, array.dtype.str)),
        array.data.cast("B"),
    )


def _segment_pixels(series: SeriesVolume, labels: LabelMap, present: tuple[int, ...]) -> LabelArray:
    """Returns segment numbers [K, J, I] at the source planes, or masks [K, J, I, segments] if classes overlap."""
    if labels.is_overlapping:
        return series.slices_at_planes(np.stack([labels.mask(number) for number in present], axis=-1).astype(np.uint8))
    classes = series.slices_at_planes(labels.array)
    if present == tuple(range(1, len(present) + 1)):
        return classes
    numbers = np.zeros(labels.class_count + 1, dtype=classes.dtype)
    numbers[list(present)] = np.arange(1, len(present) + 1)
    return numbers[classes]


def _segment_description(
    number: int, spec: ClassSpec, algorithm: Algorithm, identity: Identity
) -> hd.seg.SegmentDescription:
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=spec.name,
        segmented_property_category=to_code(spec.category),
        segmented_property_type=to_code(spec.type),
        algorithm_type=algorithm.type,
        algorithm_identification=algorithm.identification(),
        tracking_id=spec.name,
        tracking_uid=identity.uid(f"segment {number}"),
        anatomic_regions=[to_code(spec.anatomic_region)] if spec.anatomic_region else None,
        display_color=hd.color.CIELabColor.from_rgb(*spec.colour),
    )
    if spec.type_modifier:  # highdicom has no argument for it; PS3.3, C.8.20.4
        (property_type,) = description.SegmentedPropertyTypeCodeSequence
        property_type.SegmentedPropertyTypeModifierCodeSequence = [
            hd.sr.CodedConcept.from_code(to_code(spec.type_modifier))
        ]
    return description
