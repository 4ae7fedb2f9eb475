"""A phantom PET/CT study with lesions and clicks; the files are identical in each run.

The phantom is a trunk of soft tissue with two lungs, a liver, a bladder with high uptake, and two lesions. The PET is
in Bq/ml, with the attributes for SUV and a separate rescale slope for each slice, as scanners write it. The CT is on
another grid in the same frame of reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage
from scipy import ndimage

from clickseg.clicks.click import Click, Clicks, Point, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.core.arrays import Float32Array
from clickseg.dicom.codes import content_uid

DATE, STUDY_TIME, INJECTION_TIME, SCAN_TIME = "20260102", "090000", "083000", "093000"
WEIGHT_KG, DOSE_BQ, HALF_LIFE_S = 72.5, 3.1e8, 6586.2
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_POINT_SPREAD_MM = 2.5
_NOISE = 0.06


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A part of the phantom.

    Attributes:
        centre_mm: Its centre in LPS mm.
        radii_mm: Its semi-axes along L, P and S.
        suv: Its uptake in SUV.
        hounsfield: Its CT number.
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
"""Soft tissue, right lung, left lung, liver, bladder; a later part overwrites an earlier one."""

LESIONS = (
    Ellipsoid((70, 15, -20), (22, 17, 15), 7.0, 45),
    Ellipsoid((84, 27, -12), (12, 10, 14), 6.0, 45),
    Ellipsoid((-30, -45, 25), (13, 11, 12), 5.5, 45),
)
"""The first two form one lesion."""

CLICKS = (
    Click("lesion", Polarity.FOREGROUND, LESIONS[0].centre_mm),
    Click("lesion", Polarity.FOREGROUND, LESIONS[2].centre_mm),
    Click("lesion", Polarity.BACKGROUND, BODY[4].centre_mm),
)


def write_study(folder: Path) -> None:
    """Writes the study: the DICOM folders ``PET`` and ``CT``, and ``clicks.json``.

    Args:
        folder: The folder of the study, created if it does not exist; files with the same names are replaced.
    """
    study = study_header("ClickSeg phantom PET/CT")
    pet, ct = pet_geometry(), ct_geometry()
    write_series(folder / "PET", pet.with_array(suv_to_bq_per_ml(draw_suv(pet))), pet_header(study))
    write_series(folder / "CT", ct.with_array(draw_hounsfield(ct)), ct_header(study))
    clicks = Clicks(CLICKS, str(study.FrameOfReferenceUID), str(pet_header(study).SeriesInstanceUID))
    write_clicks_json(clicks, folder / "clicks.json")


def pet_geometry() -> hd.VolumeGeometry:
    """Returns the grid of the PET series, from the superior to the inferior slice."""
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
    """Returns the grid of the CT series, from the superior to the inferior slice."""
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


def draw_suv(geometry: hd.VolumeGeometry) -> Float32Array:
    """Returns SUV on a grid [K, J, I], blurred by the point spread of a scanner, with noise proportional to uptake."""
    sharp = _draw(geometry, [(part, part.suv) for part in (*BODY, *LESIONS)], outside=0.0)
    blurred = ndimage.gaussian_filter(sharp, [_POINT_SPREAD_MM / spacing for spacing in geometry.spacing])
    noise = np.random.default_rng(20260102).normal(0, _NOISE, geometry.spatial_shape)
    suv: Float32Array = np.clip(blurred * (1 + noise), 0, None).astype(np.float32)
    return suv


def draw_hounsfield(geometry: hd.VolumeGeometry) -> Float32Array:
    """Returns Hounsfield units on a grid [K, J, I]."""
    return _draw(geometry, [(part, part.hounsfield) for part in (*BODY, *LESIONS)], outside=-1000.0)


def study_header(name: str) -> Dataset:
    """Returns the attributes of patient and study.

    Args:
        name: The text from which the UIDs are derived; another name gives another study.
    """
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientName = "Phantom^Demo"
    header.PatientID = "PHANTOM-1"
    header.PatientBirthDate = "19700101"
    header.PatientSex = "O"
    header.PatientWeight = str(WEIGHT_KG)
    header.StudyInstanceUID = content_uid(name, "study")
    header.StudyDate = DATE
    header.StudyTime = STUDY_TIME
    header.StudyID = "1"
    header.AccessionNumber = ""
    header.ReferringPhysicianName = ""
    header.FrameOfReferenceUID = content_uid(name, "frame of reference")
    header.PositionReferenceIndicator = ""
    return header


def pet_header(study: Dataset) -> Dataset:
    """Returns the attributes of an FDG PET series of a study: Bq/ml, corrected for attenuation and decay."""
    header = series_header(study, "PT", PositronEmissionTomographyImageStorage, 1, ["ORIGINAL", "PRIMARY"])
    header.Units = "BQML"
    header.CountsSource = "EMISSION"
    header.SeriesType = ["STATIC", "IMAGE"]
    header.CorrectedImage = ["DECY", "ATTN", "SCAT", "NORM"]
    header.DecayCorrection = "START"
    header.CollimatorType = "NONE"
    header.ActualFrameDuration = "120000"
    header.FrameReferenceTime = "0"
    header.DecayFactor = "1"
    header.RadiopharmaceuticalInformationSequence = [_make_fdg()]
    header.PatientOrientationCodeSequence = [_make_code("102538003", "recumbent")]
    header.PatientGantryRelationshipCodeSequence = [_make_code("102540001", "headfirst")]
    return header


def ct_header(study: Dataset) -> Dataset:
    """Returns the attributes of a CT series of a study."""
    header = series_header(study, "CT", CTImageStorage, 2, ["ORIGINAL", "PRIMARY", "AXIAL"])
    header.PatientPosition = "HFS"
    header.KVP = "120"
    header.AcquisitionNumber = 1
    header.RescaleType = "HU"
    return header


def series_header(study: Dataset, modality: str, sop_class: str, number: int, image_type: list[str]) -> Dataset:
    """Returns the attributes of a series of a study that are common to all modalities.

    Args:
        study: The attributes of ``study_header``.
        modality: The modality, such as ``CT``.
        sop_class: The SOP Class UID of its images.
        number: Series Number (0020,0011).
        image_type: Image Type (0008,0008).
    """
    header = deepcopy(study)
    header.Modality = modality
    header.SOPClassUID = sop_class
    header.SeriesInstanceUID = content_uid(study.StudyInstanceUID, modality)
    header.SeriesNumber = number
    header.SeriesDescription = f"Phantom {modality}"
    header.SeriesDate = header.AcquisitionDate = header.ContentDate = DATE
    header.SeriesTime = header.AcquisitionTime = header.ContentTime = SCAN_TIME
    header.Manufacturer = "ClickSeg"
    header.ManufacturerModelName = "Phantom"
    header.BodyPartExamined = "ABDOMEN"
    header.ImageType = image_type
    return header


def suv_to_bq_per_ml(suv: Float32Array) -> Float32Array:
    """Converts SUVbw to activity concentration in Bq/ml, for a series of ``pet_header``."""
    elapsed_s = 3600.0  # from INJECTION_TIME to SCAN_TIME
    dose_bq = DOSE_BQ * 2 ** (-elapsed_s / HALF_LIFE_S)
    return (suv * (dose_bq / (1000 * WEIGHT_KG))).astype(np.float32)


def write_series(folder: Path, volume: hd.Volume, header: Dataset) -> None:
    """Writes a volume as single-frame instances.

    Args:
        folder: The folder of the series, created if it does not exist.
        volume: Values [K, J, I] in the unit of the series. Each PET slice gets a rescale slope from its maximum.
        header: The attributes of the series.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, plane in enumerate(make_slices(volume, header), 1):
        plane.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)


def make_slices(volume: hd.Volume, header: Dataset) -> list[Dataset]:
    """Returns the single-frame instances of a volume, as ``write_series`` writes them."""
    return [_make_slice(volume, index, header) for index in range(volume.spatial_shape[0])]


def _draw(geometry: hd.VolumeGeometry, parts: Sequence[tuple[Ellipsoid, float]], outside: float) -> Float32Array:
    indices = np.indices(geometry.spatial_shape).reshape(3, -1).T
    points_mm = geometry.map_indices_to_reference(indices)
    values = np.full(len(points_mm), outside, dtype=np.float32)
    for part, value in parts:
        values[(((points_mm - part.centre_mm) / part.radii_mm) ** 2).sum(axis=1) <= 1] = value
    return values.reshape(geometry.spatial_shape)


def _make_fdg() -> Dataset:
    radiopharmaceutical = Dataset()
    radiopharmaceutical.Radiopharmaceutical = "Fluorodeoxyglucose"
    radiopharmaceutical.RadiopharmaceuticalStartTime = INJECTION_TIME
    radiopharmaceutical.RadionuclideTotalDose = f"{DOSE_BQ:.0f}"
    radiopharmaceutical.RadionuclideHalfLife = str(HALF_LIFE_S)
    radiopharmaceutical.RadionuclidePositronFraction = "0.967"
    radiopharmaceutical.RadionuclideCodeSequence = [_make_code("77004003", "^18^Fluorine")]
    radiopharmaceutical.RadiopharmaceuticalCodeSequence = [_make_code("35321007", "Fluorodeoxyglucose F^18^")]
    return radiopharmaceutical


def _make_code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


def _make_slice(volume: hd.Volume, index: int, header: Dataset) -> Dataset:
    plane = deepcopy(header)  # a dataset made with update() would share its elements
    plane.InstanceNumber = index + 1
    plane.SOPInstanceUID = content_uid(header.SeriesInstanceUID, str(index))
    geometry = volume.get_geometry()
    for sequence in (
        geometry.get_plane_position(index),
        geometry.get_plane_orientation(),
        geometry.get_pixel_measures(),
    ):
        plane.update(sequence[0])
    if header.Modality == "PT":
        plane.ImageIndex = index + 1
        plane.NumberOfSlices = volume.spatial_shape[0]
    _set_pixels(plane, volume.array[index])
    plane.file_meta = FileMetaDataset()
    plane.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return plane


def _set_pixels(plane: Dataset, values: Float32Array) -> None:
    """Stores values as 16-bit integers: PET with a rescale slope for the slice, other modalities with slope 1."""
    slope = float(f"{max(float(values.max()), 1e-3) / 32767:.9g}") if plane.Modality == "PT" else 1.0
    plane.SamplesPerPixel = 1
    plane.PhotometricInterpretation = "MONOCHROME2"
    plane.Rows, plane.Columns = values.shape
    plane.BitsAllocated, plane.BitsStored, plane.HighBit = 16, 16, 15
    plane.PixelRepresentation = 1
    if plane.Modality != "MR":
        plane.RescaleSlope, plane.RescaleIntercept = f"{slope:.9g}", "0"
    plane.PixelData = np.round(values / slope).astype("<i2").tobytes()
    plane["PixelData"].VR = "OW"
