"""Reading a case into memory."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np

from clickseg.datasets.case import CaseFiles, LabelledCase, LabelledImage
from clickseg.datasets.image_file import read_image, read_label_map
from clickseg.datasets.placing import on_grid

_UNITS = {"CT": "HU", "PT": "SUVbw"}
"""What the values of files are that do not say it."""


def read_case(files: CaseFiles) -> LabelledCase:
    """Reads the images of a case and its truth.

    Args:
        files: Where it is. Images in files of their own are in HU (CT) and SUVbw (PET).

    Raises:
        InputError: A file cannot be read, or the truth cannot be brought onto the grid of the first image.
    """
    images = tuple(_image(path, modality) for path, modality in zip(files.images, files.modalities, strict=True))
    return LabelledCase(files.name, images, _truth(files.truth, images[0].volume.get_geometry()))


def _image(path: Path, modality: str) -> LabelledImage:
    return LabelledImage(modality, _UNITS.get(modality, ""), read_image(path))


def _truth(path: Path | None, image: hd.VolumeGeometry) -> hd.Volume:
    if path is None:
        return image.with_array(np.zeros(image.spatial_shape, np.uint8))
    return on_grid(read_label_map(path), image, path.name)
