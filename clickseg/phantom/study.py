"""A phantom PET/CT study with lesions and clicks, the same bytes each time.

A trunk of soft tissue with two lungs, a liver, a hot bladder and two lesions. PET in Bq/ml with the attributes that SUV
needs and a rescale slope of its own for each slice, as scanners write it; CT on another grid in the same frame of
reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from scipy import ndimage

from clickseg.arrays import Values
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.clicks_json import write_clicks_json
from clickseg.phantom.dicom import becquerel_per_ml, ct_header, pet_header, study_header, write_series

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A part of the phantom.

    Attributes:
        centre_mm: Its centre in LPS mm.
        radii_mm: Its half axes along L, P and S.
        suv: Its activity.
        hounsfield: Its density.
    """

    centre_mm: Point
    radii_mm: Point
    suv: float
    hounsfield: float


BODY = (
    Ellipsoid((0, 0, 0), (165, 110, 400), 0.6, 40),
    Ellipsoid((-80, -10, 70), (55, 70, 60), 0.3, -800),
    Ellipsoid((80, -10, 70), (55, 70, 60), 0.3, -800),
    Ellipsoid((-75, 5, -15), (65, 60, 40), 2.2, 60),
    Ellipsoid((0, 30, -75), (28, 25, 22), 14.0, 10),
)
"""Tissue, right and left lung, liver, bladder; a later part replaces an earlier one."""

LESIONS = (
    Ellipsoid((70, 15, -20), (22, 17, 15), 7.0, 45),
    Ellipsoid((84, 27, -12), (12, 10, 14), 6.0, 45),
    Ellipsoid((-30, -45, 25), (13, 11, 12), 5.5, 45),
)
"""The first two make one lesion."""

CLICKS = (
    Click("lesion", Polarity.FOREGROUND, LESIONS[0].centre_mm),
    Click("lesion", Polarity.FOREGROUND, LESIONS[2].centre_mm),
    Click("lesion", Polarity.BACKGROUND, BODY[4].centre_mm),
)

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_POINT_SPREAD_MM = 2.5
_NOISE = 0.06


def write_study(folder: Path) -> None:
    """Writes the study: folders ``PET`` and ``CT`` of DICOM, and ``clicks.json``.

    Args:
        folder: Made where it does not exist; files of an earlier study of the same name are replaced.
    """
    study = study_header("ClickSeg phantom PET/CT")
    pet, ct = pet_geometry(), ct_geometry()
    write_series(folder / "PET", _volume(becquerel_per_ml(draw_suv(pet)), pet), pet_header(study))
    write_series(folder / "CT", _volume(draw_hounsfield(ct), ct), ct_header(study))
    clicks = Clicks(CLICKS, str(study.FrameOfReferenceUID), str(pet_header(study).SeriesInstanceUID))
    write_clicks_json(clicks, folder / "clicks.json")


def pet_geometry() -> hd.VolumeGeometry:
    """Returns the grid of the PET series, from its uppermost slice down."""
    return hd.VolumeGeometry.from_attributes(
        image_position=(-195.0, -195.0, 97.5),
        image_orientation=_AXIAL,
        rows=96,
        columns=96,
        pixel_spacing=(4.1, 4.1),
        spacing_between_slices=3.25,
        number_of_frames=60,
        coordinate_system="PATIENT",
    )


def ct_geometry() -> hd.VolumeGeometry:
    """Returns the grid of the CT series, from its uppermost slice down."""
    return hd.VolumeGeometry.from_attributes(
        image_position=(-200.0, -180.0, 102.0),
        image_orientation=_AXIAL,
        rows=128,
        columns=144,
        pixel_spacing=(2.8, 2.8),
        spacing_between_slices=4.0,
        number_of_frames=52,
        coordinate_system="PATIENT",
    )


def draw_suv(geometry: hd.VolumeGeometry) -> Values:
    """Returns SUV on a grid [K, J, I], blurred by the scanner's point spread, with noise that grows with activity."""
    sharp = _draw(geometry, [(part, part.suv) for part in (*BODY, *LESIONS)], outside=0.0)
    blurred = ndimage.gaussian_filter(sharp, [_POINT_SPREAD_MM / spacing for spacing in geometry.spacing])
    noise = np.random.default_rng(20260102).normal(0, _NOISE, geometry.spatial_shape)
    suv: Values = np.clip(blurred * (1 + noise), 0, None).astype(np.float32)
    return suv


def draw_hounsfield(geometry: hd.VolumeGeometry) -> Values:
    """Returns Hounsfield units on a grid [K, J, I]."""
    return _draw(geometry, [(part, part.hounsfield) for part in (*BODY, *LESIONS)], outside=-1000.0)


def _draw(geometry: hd.VolumeGeometry, parts: Sequence[tuple[Ellipsoid, float]], outside: float) -> Values:
    indices = np.indices(geometry.spatial_shape).reshape(3, -1).T
    points_mm = geometry.map_indices_to_reference(indices)
    values = np.full(len(points_mm), outside, dtype=np.float32)
    for part, value in parts:
        values[(((points_mm - part.centre_mm) / part.radii_mm) ** 2).sum(axis=1) <= 1] = value
    return values.reshape(geometry.spatial_shape)


def _volume(values: Values, geometry: hd.VolumeGeometry) -> hd.Volume:
    return geometry.with_array(values)
