"""The case that the benchmarks share: a whole-body PET, its tumour, one click in it and one in the hottest organ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread

from clickseg.clicks.click import Click, Clicks, Point, Polarity
from clickseg.core.arrays import Doubles, Mask
from clickseg.datasets.rtstruct import contoured
from clickseg.dicom.files import scan
from clickseg.dicom.series import Remedies, check, group
from clickseg.dicom.volume import Series, load_volume

_FAR_MM = 150.0


@dataclass(frozen=True, slots=True)
class Case:
    """A series, what an expert contoured in it, and clicks.

    Attributes:
        series: The series.
        tumour: The contoured voxels [K, J, I].
        clicks: A foreground click at the tumour's centre, and a background click in the hottest organ far from it.
    """

    series: Series
    tumour: Mask
    clicks: Clicks


def whole_body_pet(data: Path) -> Case:
    """Returns patient STS_001 of Soft-tissue-Sarcoma (Vallieres et al., CC BY 3.0)."""
    folder = data / "pet_raw_sts001" / "FDG_PET"
    (candidate,) = group(scan(folder / "image").instances)
    series = load_volume(check(candidate, Remedies()))
    structures = dcmread(folder / "mask" / "1-1.dcm")
    tumour = contoured(structures, series.volume, (("GTV_Mass",),), "1-1.dcm").array > 0
    centre = np.argwhere(tumour).mean(axis=0)
    clicks = (
        Click("lesion", Polarity.FOREGROUND, position_mm(series, centre)),
        Click("lesion", Polarity.BACKGROUND, position_mm(series, _hottest_far_from(series, centre))),
    )
    return Case(series, tumour, Clicks(clicks, series.volume.frame_of_reference_uid))


def dice(one: Mask, other: Mask) -> float:
    """Returns the Dice coefficient of two masks."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def position_mm(series: Series, index: Doubles) -> Point:
    """Returns where a voxel [K, J, I] is, in LPS mm."""
    x, y, z = series.volume.map_indices_to_reference(np.round(index)[np.newaxis])[0]
    return float(x), float(y), float(z)


def _hottest_far_from(series: Series, centre: Doubles) -> Doubles:
    voxels = np.indices(series.volume.spatial_shape).reshape(3, -1).T
    distances_mm = np.linalg.norm((voxels - centre) * series.volume.spacing, axis=1)
    hottest = np.where(distances_mm > _FAR_MM, series.volume.array.ravel(), 0).argmax()
    place: Doubles = voxels[hottest].astype(float)
    return place
