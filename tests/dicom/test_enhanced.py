"""Enhanced (multi-frame) CT, MR and PET have the same volumes as their single-frame originals."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedPETImageStorage, JPEG2000Lossless, JPEGLSLossless, RLELossless

from clickseg.core.errors import PixelDataError, SeriesError, SuvError
from clickseg.datasets.phantom import suv_to_bq_per_ml
from clickseg.dicom.files import scan
from clickseg.dicom.series_files import group_by_series
from tests.helpers import phantoms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter


def write_enhanced(
    folder: Path, modality: str, shape: tuple[int, int, int] = phantoms.SHAPE
) -> tuple[Path, list[Dataset]]:
    geometry = phantoms.oblique_geometry(shape)
    volume = phantoms.distinct_volume(geometry)
    if modality == "PT":
        volume = volume.with_array(suv_to_bq_per_ml(volume.array / 1000))
    datasets = phantoms.instances(volume, modality)
    return phantoms.write_legacy_enhanced(folder, datasets), datasets


def change_attributes(folder: Path, changes: dict[str, object]) -> Path:
    """Changes attributes of the multi-frame instance of a folder."""
    dataset = dcmread(folder / "enhanced.dcm")
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / "enhanced.dcm")
    return folder


def real_world_mapping(unit: str, slope: float | None, intercept: float) -> Dataset:
    """Returns an item of Real World Value Mapping Sequence; without a slope if ``slope`` is None."""
    mapping, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    mapping.MeasurementUnitsCodeSequence = [code]
    mapping.RealWorldValueIntercept = intercept
    if slope is not None:
        mapping.RealWorldValueSlope = slope
    return mapping


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_multi_frame_image_has_the_same_volume_as_single_frame_images(tmp_path: Path, modality: str) -> None:
    folder, datasets = write_enhanced(tmp_path / "multi", modality)
    single = phantoms.read(phantoms.save(tmp_path / "single", datasets)).volume

    multi = phantoms.read(folder).volume

    assert multi.geometry_equal(single, tol=1e-5)
    np.testing.assert_array_equal(multi.array, single.array)


def test_multi_frame_pet_is_converted_to_suv_with_its_decay_correction_time(tmp_path: Path) -> None:
    folder, datasets = write_enhanced(tmp_path / "multi", "PT")
    single = phantoms.read(phantoms.save(tmp_path / "single", datasets)).volume
    tracer = datasets[0].RadiopharmaceuticalInformationSequence
    pet = {
        "Units": "BQML",
        "AttenuationCorrected": "YES",
        "DecayCorrected": "YES",
        "DecayCorrectionDateTime": "20260102093000",
        "RadiopharmaceuticalInformationSequence": tracer,
        "PatientWeight": datasets[0].PatientWeight,
    }

    multi = phantoms.read(change_attributes(folder, pet)).volume

    np.testing.assert_allclose(multi.array, single.array, rtol=1e-6)


@pytest.mark.parametrize("dose", ["310", "310000000"])
def test_the_dose_of_an_enhanced_pet_file_is_in_mbq_or_in_bq(tmp_path: Path, dose: str) -> None:
    folder, datasets = write_enhanced(tmp_path / "multi", "PT")
    single = phantoms.read(phantoms.save(tmp_path / "single", datasets)).volume  # 310 MBq
    (tracer,) = deepcopy(datasets[0].RadiopharmaceuticalInformationSequence)
    tracer.RadionuclideTotalDose = dose
    pet = {
        "SOPClassUID": EnhancedPETImageStorage,
        "Units": "BQML",
        "AttenuationCorrected": "YES",
        "DecayCorrected": "YES",
        "DecayCorrectionDateTime": "20260102093000",
        "RadiopharmaceuticalInformationSequence": [tracer],
        "PatientWeight": datasets[0].PatientWeight,
    }

    multi = phantoms.read(change_attributes(folder, pet)).volume

    np.testing.assert_allclose(multi.array, single.array, rtol=1e-6)


@pytest.mark.parametrize("units", [None, "BQML"])
@pytest.mark.parametrize(("unit", "factor"), [("{SUVbw}g/ml", 1.0), ("Bq/ml", None)])
def test_multi_frame_pet_uses_the_units_of_its_real_world_value_mapping(
    tmp_path: Path, unit: str, factor: float | None, units: str | None
) -> None:
    folder, datasets = write_enhanced(tmp_path, "PT")
    dataset = dcmread(folder / "enhanced.dcm")
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.RealWorldValueMappingSequence = [real_world_mapping(unit, 0.5, 0.0)]
    dataset.AttenuationCorrected, dataset.DecayCorrected = "YES", "YES"
    dataset.DecayCorrectionDateTime = "20260102093000"
    dataset.RadiopharmaceuticalInformationSequence = datasets[0].RadiopharmaceuticalInformationSequence
    dataset.pop("Units", None)
    if units is not None:
        dataset.Units = units  # the units before the mapping
    dataset.save_as(folder / "enhanced.dcm")
    expected = factor or 1 / float(suv_to_bq_per_ml(np.ones(1, np.float32))[0])

    series = phantoms.read(folder)

    stored = dcmread(folder / "enhanced.dcm").pixel_array
    assert series.unit == "SUVbw"
    np.testing.assert_allclose(series.volume.array.max(), stored.max() * 0.5 * expected, rtol=1e-5)


@pytest.mark.parametrize("change", ["table", "no slope", "no number"])
def test_a_real_world_value_mapping_without_slope_is_rejected(tmp_path: Path, change: str) -> None:
    folder, _ = write_enhanced(tmp_path, "PT")
    dataset = dcmread(folder / "enhanced.dcm")
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        mapping = real_world_mapping("g/ml{SUVbw}", None, 0.0)
        if change == "table":
            mapping.RealWorldValueLUTData = [0.0, 1.0, 2.0]
        elif change == "no number":
            mapping.RealWorldValueSlope = float("nan")
        frame.RealWorldValueMappingSequence = [mapping]
    dataset.save_as(folder / "enhanced.dcm")

    with pytest.raises(PixelDataError, match=r"RealWorldValueSlope \(0040,9225\): expected a number"):
        phantoms.read(folder)


def test_the_mapping_to_suv_is_used_if_there_are_several(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "PT")
    dataset = dcmread(folder / "enhanced.dcm")
    units = {"Bq/ml": 3.0, "g/ml{SUVbw}": 0.25, "1": 9.0}
    mappings = [real_world_mapping(unit, slope, 1.0) for unit, slope in units.items()]
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.RealWorldValueMappingSequence = mappings
    dataset.AttenuationCorrected = "YES"
    dataset.save_as(folder / "enhanced.dcm")

    series = phantoms.read(folder)

    stored = dcmread(folder / "enhanced.dcm").pixel_array
    np.testing.assert_allclose(series.volume.array.max(), stored.max() * 0.25 + 1, rtol=1e-6)


def test_private_sequences_are_ignored(tmp_path: Path) -> None:
    folder, datasets = write_enhanced(tmp_path / "multi", "MR")
    single = phantoms.read(phantoms.save(tmp_path / "single", datasets)).volume
    dataset = dcmread(folder / "enhanced.dcm")
    private = Dataset()
    private.PixelSpacing, private.RescaleSlope, private.RescaleIntercept = ["9", "9"], "7", "3"
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", [private])
    dataset.save_as(folder / "enhanced.dcm")

    multi = phantoms.read(folder).volume

    assert multi.geometry_equal(single, tol=1e-5)
    np.testing.assert_array_equal(multi.array, single.array)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_multi_frame_instances_are_read(tmp_path: Path, syntax: str) -> None:
    folder, _ = write_enhanced(tmp_path, "CT", (5, 40, 52))
    plain = phantoms.read(folder).volume.array
    dataset = dcmread(folder / "enhanced.dcm")
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(folder / "enhanced.dcm")

    np.testing.assert_array_equal(phantoms.read(folder).volume.array, plain)


def test_multi_frame_pet_without_attenuation_correction_is_rejected(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "PT")
    change_attributes(folder, {"AttenuationCorrected": "NO", "CorrectedImage": ["DECY"]})

    with pytest.raises(SuvError, match="not corrected for attenuation"):
        phantoms.read(folder)


def test_a_number_of_frames_that_differs_from_the_functional_groups_is_rejected(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "CT")
    dataset = dcmread(folder / "enhanced.dcm")
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]
    dataset.save_as(folder / "enhanced.dcm")

    with pytest.raises(SeriesError, match=r"NumberOfFrames \(0028,0008\) is 7, but .* describes 6"):
        phantoms.read_geometry(folder)


def test_a_requested_volume_of_a_multi_frame_instance_is_used(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "MR")
    doubled = dcmread(folder / "enhanced.dcm")
    pixels = doubled.pixel_array
    doubled.PixelData = np.concatenate([pixels, pixels + 5]).astype("<i2").tobytes()
    doubled.NumberOfFrames = 14
    frames = list(doubled.PerFrameFunctionalGroupsSequence) + deepcopy(list(doubled.PerFrameFunctionalGroupsSequence))
    for number, frame in enumerate(frames):
        frame.FrameContentSequence[0].TemporalPositionIndex = 1 + number // 7
    doubled.PerFrameFunctionalGroupsSequence = frames
    doubled.save_as(folder / "enhanced.dcm")

    with pytest.raises(SeriesError, match=r"2 volumes in one series \(TemporalPositionIndex \(0020,9128\): 1, 2\)"):
        phantoms.read_geometry(folder)
    first, second = (phantoms.read(folder, f"volume={number}").volume.array for number in (1, 2))

    np.testing.assert_array_equal(second, first + 5)


def test_two_different_files_of_one_multi_frame_instance_are_rejected(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "CT")
    second = dcmread(folder / "enhanced.dcm")
    second.InstanceNumber = 2
    second.save_as(folder / "other.dcm")

    (files,) = group_by_series(scan(folder).instances)

    assert len(files.instances) == 2
    with pytest.raises(SeriesError, match=r"is the same in 2 different files: enhanced\.dcm, other\.dcm"):
        phantoms.read_geometry(folder)


def test_a_truncated_multi_frame_instance_is_detected_by_its_header(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "CT")
    path = folder / "enhanced.dcm"
    path.write_bytes(path.read_bytes()[:-2000])

    with pytest.raises(PixelDataError, match="truncated: 13 x 11 x 7 pixels"):
        phantoms.read_geometry(folder)
