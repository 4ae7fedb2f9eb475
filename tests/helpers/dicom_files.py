"""DICOM files with ground truth for tests: RTSTRUCT written by hand, SEG written by highdicom."""

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
"""The points [N, 3] of each contour, in LPS mm."""


def make_dataset(**attributes: object) -> Dataset:
    """Returns a data set, or an item of a sequence, with some attributes."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def coded_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Returns an item of a code sequence."""
    return make_dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def write_rtstruct(
    path: Path, header: Dataset, regions: dict[str, Contours], types: Sequence[str] = (), *, refers: bool = True
) -> Path:
    """Writes a structure set; the ROI numbers start at 11.

    Args:
        path: The path of the file.
        header: An image of the referenced series.
        regions: The contours of each region, by name.
        types: The RT ROI Interpreted Type of each region; empty for no RT ROI observations.
        refers: Whether to reference the series; otherwise an unknown series is referenced.
    """
    data = make_dataset(
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID=generate_uid(),
        Modality="RTSTRUCT",
        PatientID=header.PatientID,
        StudyInstanceUID=header.StudyInstanceUID,
        SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=header.FrameOfReferenceUID,
    )
    series = make_dataset(SeriesInstanceUID=header.SeriesInstanceUID if refers else generate_uid())
    study = make_dataset(ReferencedSOPInstanceUID=header.StudyInstanceUID, RTReferencedSeriesSequence=[series])
    data.ReferencedFrameOfReferenceSequence = [
        make_dataset(FrameOfReferenceUID=header.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    ]
    data.StructureSetROISequence = [
        make_dataset(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=header.FrameOfReferenceUID)
        for number, name in enumerate(regions, 11)
    ]
    data.ROIContourSequence = [
        make_dataset(ReferencedROINumber=number, ContourSequence=[contour_item(points) for points in contours])
        for number, contours in enumerate(regions.values(), 11)
    ]
    data.RTROIObservationsSequence = [
        make_dataset(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType=kind)
        for number, kind in enumerate(types, 11)
    ]
    return save_dataset(path, data)


def contour_item(points: np.ndarray) -> Dataset:
    coordinates = [f"{value:.6f}" for value in np.ravel(points)]
    return make_dataset(
        ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(points), ContourData=coordinates
    )


def save_dataset(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)
    return path


def write_segmentation(
    path: Path,
    sources: Sequence[Dataset],
    pixels: np.ndarray | hd.Volume,
    labels: Sequence[str],
    *,
    kind: str = "BINARY",
    categories: Sequence[object] = (),
) -> Path:
    """Writes a SEG with one segment for each label.

    Args:
        path: The path of the file.
        sources: The referenced images.
        pixels: Segment numbers in the order of the sources, or a volume on its own grid.
        labels: The labels of the segments, from segment number 1.
        kind: The segmentation type.
        categories: The categories of the segments; by default, morphologically abnormal structure.
    """
    descriptions = [
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
        descriptions,
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


def write_series_on_grid(
    folder: Path, geometry: hd.VolumeGeometry, modality: str = "CT", name: str = "test"
) -> list[Dataset]:
    """Writes a series on a grid, and returns its instances."""
    datasets = phantoms.instances(phantoms.distinct_volume(geometry), modality, name)
    phantoms.save(folder, datasets)
    return datasets


def write_named(folder: Path, datasets: Sequence[Dataset], pattern: str) -> list[Path]:
    """Writes data sets under the names that a pattern such as ``IM{0:04d}.dcm`` gives for 1, 2, ...

    Returns:
        The paths, in the order of the data sets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / pattern.format(number) for number in range(1, len(datasets) + 1)]
    for path, dataset in zip(paths, datasets, strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return paths
