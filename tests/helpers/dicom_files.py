"""Truth in DICOM for tests: RTSTRUCT written by hand, SEG written by highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tests.helpers import phantoms

Contours = Sequence[np.ndarray]
"""Corners [N, 3] of each contour, in LPS mm."""


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def rtstruct(
    path: Path, header: Dataset, regions: dict[str, Contours], types: Sequence[str] = (), *, refers: bool = True
) -> Path:
    """Writes a structure set with regions numbered from 11 on.

    Args:
        path: Where to.
        header: An image of the series that it refers to.
        regions: Their contours.
        types: The RT ROI Interpreted Type of each region; nothing for no observations.
        refers: Whether it names the series.
    """
    data = item(
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID=generate_uid(),
        Modality="RTSTRUCT",
        PatientID=header.PatientID,
        StudyInstanceUID=header.StudyInstanceUID,
        SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=header.FrameOfReferenceUID,
    )
    series = item(SeriesInstanceUID=header.SeriesInstanceUID if refers else generate_uid())
    study = item(ReferencedSOPInstanceUID=header.StudyInstanceUID, RTReferencedSeriesSequence=[series])
    data.ReferencedFrameOfReferenceSequence = [
        item(FrameOfReferenceUID=header.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    ]
    data.StructureSetROISequence = [
        item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=header.FrameOfReferenceUID)
        for number, name in enumerate(regions, 11)
    ]
    data.ROIContourSequence = [
        item(ReferencedROINumber=number, ContourSequence=[contour(corners) for corners in contours])
        for number, contours in enumerate(regions.values(), 11)
    ]
    data.RTROIObservationsSequence = [
        item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType=kind)
        for number, kind in enumerate(types, 11)
    ]
    return save(path, data)


def contour(corners: np.ndarray) -> Dataset:
    numbers = [f"{value:.6f}" for value in np.ravel(corners)]
    return item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(corners), ContourData=numbers)


def save(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)
    return path


def segmentation(
    path: Path,
    sources: Sequence[Dataset],
    pixels: np.ndarray | hd.Volume,
    labels: Sequence[str],
    *,
    kind: str = "BINARY",
    categories: Sequence[object] = (),
) -> Path:
    """Writes a SEG with a segment for each label, by highdicom.

    Args:
        path: Where to.
        sources: The images that it refers to.
        pixels: Segment numbers in the order of the sources; or a volume on a grid of its own.
        labels: Of the segments, from 1 on.
        kind: Its type.
        categories: Of the segments, morphologically abnormal structure where nothing is given.
    """
    described = [
        hd.seg.SegmentDescription(
            number,
            label,
            categories[number - 1] if categories else codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.Lesion,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, 1)
    ]
    seg = hd.seg.Segmentation(
        sources,
        pixels,
        kind,
        described,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path


def series(folder: Path, geometry: hd.VolumeGeometry, modality: str = "CT", name: str = "test") -> list[Dataset]:
    """Writes a series on a grid, and returns its instances."""
    made = phantoms.instances(phantoms.distinct(geometry), modality, name)
    phantoms.save(folder, made)
    return made
