"""The case that benchmarks share: a whole-body PET with its tumour, a foreground click and a background click."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread

from clickseg.clicks.click import Click, Clicks, Point, Polarity
from clickseg.core.arrays import FloatArray, Mask
from clickseg.datasets.rtstruct import rasterize_contours
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import check_series
from clickseg.dicom.series_files import group_by_series
from clickseg.dicom.volume import SeriesVolume, load_volume

_MIN_DISTANCE_MM = 150.0
"""The smallest distance of the background click from the centre of the tumour."""


@dataclass(frozen=True, slots=True)
class PetCase:
    """A PET series with the contour of an expert, and clicks.

    Attributes:
        series: The series.
        tumour: The voxels inside the contour of the tumour, [K, J, I].
        clicks: A foreground click at the centre of the tumour, and a background click in the hottest organ far from it.
    """

    series: SeriesVolume
    tumour: Mask
    clicks: Clicks


def read_whole_body_pet(data: Path) -> PetCase:
    """Reads patient STS_001 of Soft-tissue-Sarcoma (Vallieres et al., CC BY 3.0)."""
    folder = data / "pet_raw_sts001" / "FDG_PET"
    (series_files,) = group_by_series(scan(folder / "image").instances)
    series = load_volume(check_series(series_files, Repairs()))
    structures = dcmread(folder / "mask" / "1-1.dcm")
    tumour = rasterize_contours(structures, series.volume, (("GTV_Mass",),), "1-1.dcm").array > 0
    centre = np.argwhere(tumour).mean(axis=0)
    clicks = (
        Click("lesion", Polarity.FOREGROUND, position_mm(series, centre)),
        Click("lesion", Polarity.BACKGROUND, position_mm(series, _hottest_voxel_far_from(series, centre))),
    )
    return PetCase(series, tumour, Clicks(clicks, series.volume.frame_of_reference_uid))


def dice(first: Mask, second: Mask) -> float:
    """Returns the Dice coefficient of two masks."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def position_mm(series: SeriesVolume, index: FloatArray) -> Point:
    """Returns the position of a voxel [K, J, I] in LPS mm."""
    x, y, z = series.volume.map_indices_to_reference(np.round(index)[np.newaxis])[0]
    return float(x), float(y), float(z)


def _hottest_voxel_far_from(series: SeriesVolume, centre: FloatArray) -> FloatArray:
    """Returns the hottest voxel [K, J, I] that is farther than ``_MIN_DISTANCE_MM`` from a voxel."""
    voxels = np.indices(series.volume.spatial_shape).reshape(3, -1).T
    distances_mm = np.linalg.norm((voxels - centre) * series.volume.spacing, axis=1)
    hottest = np.where(distances_mm > _MIN_DISTANCE_MM, series.volume.array.ravel(), 0).argmax()
    voxel: FloatArray = voxels[hottest].astype(float)
    return voxel
