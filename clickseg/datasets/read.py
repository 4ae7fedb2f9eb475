"""Reads the images and the ground truth of a case into memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np

from clickseg.datasets.case import CaseFiles, LabelledCase, LabelledImage
from clickseg.datasets.dicom_folder import find_series
from clickseg.datasets.dicom_truth import read_class_numbers, read_truth, refers_to
from clickseg.datasets.image_file import image_extension, read_image, read_label_map
from clickseg.datasets.regions import ClassNames, resample_labels
from clickseg.dicom.part10 import Instance
from clickseg.dicom.series_files import SeriesFiles
from clickseg.dicom.volume import load_volume

_UNITS = {"CT": "HU", "PT": "SUVbw"}
"""The units of values in image files, which do not contain a unit."""


@dataclass(frozen=True, slots=True)
class _LoadedImage:
    """An image, and the files of its series; None if the image is not DICOM."""

    image: LabelledImage
    series_files: SeriesFiles | None = None


def read_case(files: CaseFiles, class_names: ClassNames = ()) -> LabelledCase:
    """Reads the images and the ground truth of a case.

    Args:
        files: The files of the case. Image files must be in HU (CT) and SUVbw (PET).
        class_names: The names that the segments of a SEG and the regions of interest of an RTSTRUCT have for each
            class. Empty: all segments or regions that can be a lesion belong to class 1. Not used for label map files,
            which contain class numbers.

    Raises:
        InputError: A file cannot be read, or the ground truth cannot be resampled to the grid of the first image.
    """
    is_dicom = files.truth is not None and image_extension(files.truth) is None
    truth = read_truth(files.truth) if files.truth is not None and is_dicom else None
    loaded: list[_LoadedImage] = []
    for path, modality in zip(files.images, files.modalities, strict=True):
        frame_uid = loaded[0].image.volume.frame_of_reference_uid if loaded else None
        loaded.append(_load_image(path, modality, truth, frame_uid))
    geometry = loaded[0].image.volume.get_geometry()
    if truth is not None:
        class_numbers = read_class_numbers(truth, _referenced_volume(truth, loaded), class_names)
        labels = resample_labels(class_numbers, geometry, truth.name)
    else:
        labels = _read_label_map(files.truth, geometry)
    return LabelledCase(files.name, tuple(item.image for item in loaded), labels)


def _load_image(path: Path, modality: str, truth: Instance | None, frame_uid: str | None) -> _LoadedImage:
    if image_extension(path) is not None:
        return _LoadedImage(LabelledImage(modality, _UNITS.get(modality, ""), read_image(path)))
    series = load_volume(find_series(path, modality, truth, frame_uid))
    return _LoadedImage(LabelledImage(modality, series.unit, series.volume), series.files)


def _referenced_volume(truth: Instance, loaded: list[_LoadedImage]) -> hd.Volume:
    """Returns the image that a SEG or an RTSTRUCT refers to; the first image if it refers to none of them."""
    referenced = [item for item in loaded if item.series_files is not None and refers_to(truth, item.series_files)]
    return [*referenced, *loaded][0].image.volume


def _read_label_map(path: Path | None, image: hd.VolumeGeometry) -> hd.Volume:
    if path is None:
        return image.with_array(np.zeros(image.spatial_shape, np.uint8))
    return resample_labels(read_label_map(path), image, path.name)
