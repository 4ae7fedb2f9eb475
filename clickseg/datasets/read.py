"""Reading a case into memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np

from clickseg.datasets.case import CaseFiles, LabelledCase, LabelledImage
from clickseg.datasets.dicom_folder import open_series
from clickseg.datasets.dicom_truth import class_numbers, read_truth, refers_to
from clickseg.datasets.image_file import ending_of, read_image, read_label_map
from clickseg.datasets.regions import Classes, on_grid
from clickseg.dicom.part10 import Instance
from clickseg.dicom.series import Candidate
from clickseg.dicom.volume import load_volume

_UNITS = {"CT": "HU", "PT": "SUVbw"}
"""What the values of files are that do not say it."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """An image, and the series that it is, where it is one."""

    image: LabelledImage
    candidate: Candidate | None = None


def read_case(files: CaseFiles, classes: Classes = ()) -> LabelledCase:
    """Reads the images of a case and its truth.

    Args:
        files: Where it is. Images in files of their own are in HU (CT) and SUVbw (PET).
        classes: Which segments of a SEG and which regions of interest of an RTSTRUCT are which class, by their names;
            nothing for all that may be a lesion, as class 1. Files of label maps hold numbers of classes.

    Raises:
        InputError: A file cannot be read, or the truth cannot be brought onto the grid of the first image.
    """
    is_dicom = files.truth is not None and ending_of(files.truth) is None
    truth = read_truth(files.truth) if files.truth is not None and is_dicom else None
    opened: list[_Opened] = []
    for path, modality in zip(files.images, files.modalities, strict=True):
        frame_uid = opened[0].image.volume.frame_of_reference_uid if opened else None
        opened.append(_open(path, modality, truth, frame_uid))
    volume = opened[0].image.volume
    if truth is not None:
        found = on_grid(class_numbers(truth, _drawn_on(truth, opened), classes), volume.get_geometry(), truth.name)
    else:
        found = _label_map(files.truth, volume.get_geometry())
    return LabelledCase(files.name, tuple(each.image for each in opened), found)


def _open(path: Path, modality: str, truth: Instance | None, frame_uid: str | None) -> _Opened:
    if ending_of(path) is not None:
        return _Opened(LabelledImage(modality, _UNITS.get(modality, ""), read_image(path)))
    series = load_volume(open_series(path, modality, truth, frame_uid))
    return _Opened(LabelledImage(modality, series.unit, series.volume), series.candidate)


def _drawn_on(truth: Instance, opened: list[_Opened]) -> hd.Volume:
    """Returns the image that a truth refers to; the first, where it refers to none."""
    meant = [each for each in opened if each.candidate is not None and refers_to(truth, each.candidate)]
    return [*meant, *opened][0].image.volume


def _label_map(path: Path | None, image: hd.VolumeGeometry) -> hd.Volume:
    if path is None:
        return image.with_array(np.zeros(image.spatial_shape, np.uint8))
    return on_grid(read_label_map(path), image, path.name)
