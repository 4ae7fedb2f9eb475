"""DICOM SEG and RTSTRUCT as truth: which series they refer to, and what they say of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import highdicom as hd
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage

from clickseg.core.errors import ClickSegError, InputError
from clickseg.datasets.regions import Classes
from clickseg.datasets.rtstruct import contoured
from clickseg.datasets.segmentation import segmented
from clickseg.dicom.codes import SEGMENTATIONS
from clickseg.dicom.files import Scan, scan
from clickseg.dicom.part10 import READ_ERRORS, Instance
from clickseg.dicom.series import Candidate

_TRUTHS = SEGMENTATIONS | {RTStructureSetStorage}


def truths_in(found: Scan) -> tuple[Instance, ...]:
    """Returns the segmentations and structure sets of a scan."""
    return tuple(instance for instance in found.instances if instance.text("SOPClassUID") in _TRUTHS)


def read_truth(path: Path) -> Instance:
    """Returns the one segmentation or structure set in a file or folder.

    Raises:
        InputError: There is none, or there are several.
    """
    found = scan(path)
    found.check_undamaged()
    truths = truths_in(found)
    if len(truths) != 1:
        raise InputError(f"{path.name}: expected one DICOM SEG or RTSTRUCT, got {len(truths)}")
    return truths[0]


def refers_to(truth: Instance, candidate: Candidate) -> bool:
    """Whether a segmentation or a structure set refers to a series, or to an image of it.

    Raises:
        InputError: Its references cannot be read.
    """
    try:
        if candidate.series_uid in _series(truth.header):
            return True
        images = {instance.text("SOPInstanceUID") for instance in candidate.instances}
        return not images.isdisjoint(_images(truth.header))
    except READ_ERRORS as error:
        raise InputError(f"{truth.name}: its references cannot be read: {type(error).__name__}") from error


def class_numbers(truth: Instance, volume: hd.Volume, classes: Classes) -> hd.Volume:
    """Returns what a segmentation or a structure set says of a series, as class numbers.

    Args:
        truth: The file.
        volume: The series that it refers to.
        classes: The names that each class has.

    Raises:
        InputError: It cannot be read, or does not say it.
    """
    try:
        if truth.text("SOPClassUID") == RTStructureSetStorage:
            return contoured(truth.header, volume, classes, truth.name)
        return segmented(str(truth.path), truth.header, volume, classes, truth.name)
    except ClickSegError:
        raise
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{truth.name}: cannot be read: {type(error).__name__}") from error


def _series(header: Dataset) -> Iterator[str]:
    for item in header.get("ReferencedSeriesSequence") or ():
        yield str(item.get("SeriesInstanceUID"))
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                yield str(series.get("SeriesInstanceUID"))


def _images(header: Dataset) -> Iterator[str]:
    """Yields the images that contours or frames say they are of: some files refer to no series."""
    for region in header.get("ROIContourSequence") or ():
        for contour in region.get("ContourSequence") or ():
            for image in contour.get("ContourImageSequence") or ():
                yield str(image.get("ReferencedSOPInstanceUID"))
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(groups) or ():
            for derivation in group.get("DerivationImageSequence") or ():
                for image in derivation.get("SourceImageSequence") or ():
                    yield str(image.get("ReferencedSOPInstanceUID"))
