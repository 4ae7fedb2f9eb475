"""DICOM SEG and RTSTRUCT as ground truth: the series that they refer to, and their class numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import highdicom as hd
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage

from clickseg.core.errors import ClickSegError, InputError
from clickseg.datasets.regions import ClassNames
from clickseg.datasets.rtstruct import rasterize_contours
from clickseg.datasets.segmentation import read_segments
from clickseg.dicom.codes import SEGMENTATION_SOP_CLASSES
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.files import Scan, scan
from clickseg.dicom.part10 import Instance
from clickseg.dicom.series_files import SeriesFiles

_TRUTH_SOP_CLASSES = SEGMENTATION_SOP_CLASSES | {RTStructureSetStorage}


def find_truths(scan_result: Scan) -> tuple[Instance, ...]:
    """Returns the SEG and RTSTRUCT instances of a scan."""
    return tuple(instance for instance in scan_result.instances if instance.text("SOPClassUID") in _TRUTH_SOP_CLASSES)


def read_truth(path: Path) -> Instance:
    """Returns the only SEG or RTSTRUCT in a file or folder.

    Raises:
        InputError: The number of SEG and RTSTRUCT instances is not one.
    """
    scan_result = scan(path)
    scan_result.check_undamaged()
    truths = find_truths(scan_result)
    if len(truths) != 1:
        raise InputError(f"{path.name}: expected one DICOM SEG or RTSTRUCT, got {len(truths)}")
    return truths[0]


def refers_to(truth: Instance, series_files: SeriesFiles) -> bool:
    """Whether a SEG or an RTSTRUCT refers to a series, or to an image of the series.

    Raises:
        InputError: The references cannot be read.
    """
    try:
        if series_files.series_uid in _referenced_series_uids(truth.header):
            return True
        instance_uids = {instance.text("SOPInstanceUID") for instance in series_files.instances}
        return not instance_uids.isdisjoint(_referenced_instance_uids(truth.header))
    except READ_ERRORS as error:
        raise InputError(f"{truth.name}: its references cannot be read: {type(error).__name__}") from error


def read_class_numbers(truth: Instance, volume: hd.Volume, class_names: ClassNames) -> hd.Volume:
    """Returns the class numbers, uint8, that a SEG or an RTSTRUCT defines, on the grid of the series or of the SEG.

    Args:
        truth: The SEG or RTSTRUCT.
        volume: The series that the SEG or RTSTRUCT refers to.
        class_names: The names of each class.

    Raises:
        InputError: The file cannot be read, or defines none of the classes.
    """
    try:
        if truth.text("SOPClassUID") == RTStructureSetStorage:
            return rasterize_contours(truth.header, volume, class_names, truth.name)
        return read_segments(str(truth.path), truth.header, volume, class_names, truth.name)
    except ClickSegError:
        raise
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{truth.name}: cannot be read: {type(error).__name__}") from error


def _referenced_series_uids(header: Dataset) -> Iterator[str]:
    for item in header.get("ReferencedSeriesSequence") or ():
        yield str(item.get("SeriesInstanceUID"))
    for frame_of_reference in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame_of_reference.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                yield str(series.get("SeriesInstanceUID"))


def _referenced_instance_uids(header: Dataset) -> Iterator[str]:
    """Yields the UIDs of the images that contours or frames refer to: some files do not refer to a series."""
    for region in header.get("ROIContourSequence") or ():
        for contour in region.get("ContourSequence") or ():
            for image in contour.get("ContourImageSequence") or ():
                yield str(image.get("ReferencedSOPInstanceUID"))
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(groups) or ():
            for derivation in group.get("DerivationImageSequence") or ():
                for image in derivation.get("SourceImageSequence") or ():
                    yield str(image.get("ReferencedSOPInstanceUID"))
