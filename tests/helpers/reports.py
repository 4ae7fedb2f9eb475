"""Structured reports in the form in which other tools write them."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code

from clickseg.dicom.series import SeriesGeometry


def make_ohif_sr(series: SeriesGeometry, point: np.ndarray, *, in_image: bool) -> Dataset:
    """Returns an SR as dcmjs writes OHIF's Probe: TID 300 with a number that is inferred from a point."""
    candidate = series.files
    plane = series.stack.planes[2]
    if in_image:
        source = hd.sr.SourceImageForRegion(
            candidate.first_instance.header.SOPClassUID, plane.instance.text("SOPInstanceUID")
        )
        region: Dataset = hd.sr.ScoordContentItem(
            Code("111030", "DCM", "Image Region"), "POINT", np.array([[4.5, 7.5]]), relationship_type="INFERRED FROM"
        )
        region.ContentSequence = [source]
    else:
        region = hd.sr.Scoord3DContentItem(
            Code("111030", "DCM", "Image Region"),
            "POINT",
            point[None],
            candidate.frame_of_reference_uid,
            relationship_type="INFERRED FROM",
        )
    number = hd.sr.NumContentItem(
        Code("111010", "DCM", "Center"), 0, Code("1", "UCUM", "no units"), relationship_type="CONTAINS"
    )
    number.ContentSequence = [region]
    finding = hd.sr.CodeContentItem(
        Code("121071", "DCM", "Finding"),
        Code("CORNERSTONEFREETEXT", "CORNERSTONEJS", "lesion_neg"),
        relationship_type="CONTAINS",
    )
    tracking = hd.sr.TextContentItem(
        Code("112039", "DCM", "Tracking Identifier"), "Cornerstone3DTools@^0.1.0:Probe", "HAS OBS CONTEXT"
    )
    group = hd.sr.ContainerContentItem(Code("125007", "DCM", "Measurement Group"), relationship_type="CONTAINS")
    group.ContentSequence = [tracking, finding, number]
    measurements = hd.sr.ContainerContentItem(
        Code("126010", "DCM", "Imaging Measurements"), relationship_type="CONTAINS"
    )
    measurements.ContentSequence = [group]
    report = Dataset()
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.34"
    report.ContentSequence = [measurements]
    return report


def make_seed_point_group(frame: str, data: list[float], graphic: str = "POINT", **items: object) -> Dataset:
    """Returns a measurement group as another tool may write it: TID 1410 with a seed point, without our polarity."""
    region: Dataset = hd.sr.Scoord3DContentItem(
        Code("130400", "DCM", "Geometric purpose of region"),
        "POINT",
        np.zeros((1, 3)),
        frame,
        relationship_type="CONTAINS",
    )
    region.GraphicType, region.GraphicData = graphic, data
    purpose = hd.sr.CodeContentItem(
        Code("130400", "DCM", "Geometric purpose of region"), Code("128139", "DCM", "Seed point"), "HAS CONCEPT MOD"
    )
    for keyword, value in items.items():
        code = purpose.ConceptCodeSequence[0]
        del code.CodeValue
        setattr(code, keyword, value)
    region.ContentSequence = [purpose]
    tracking = hd.sr.TextContentItem(Code("112039", "DCM", "Tracking Identifier"), "hook_neg", "HAS OBS CONTEXT")
    group = hd.sr.ContainerContentItem(Code("125007", "DCM", "Measurement Group"), relationship_type="CONTAINS")
    group.ContentSequence = [tracking, region]
    return group


def make_sr(*groups: Dataset) -> Dataset:
    """Returns an SR with some measurement groups."""
    report = Dataset()
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.34"
    report.ContentSequence = list(groups)
    return report


def save_sr(report: Dataset, path: Path) -> Path:
    """Saves an SR as a DICOM file, and returns the path."""
    report.SOPInstanceUID, report.SeriesInstanceUID = "2.25.5", "2.25.6"
    report.ensure_file_meta()
    report.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    report.save_as(path, enforce_file_format=True)
    return path
