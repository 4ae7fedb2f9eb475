"""Enhanced (multi-frame) CT, MR and PET give the volumes that their single-frame originals give."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from clickseg.core.errors import PixelDataError, SeriesError, SuvError
from clickseg.datasets.phantom import becquerel_per_ml
from clickseg.dicom.files import scan
from clickseg.dicom.series import group
from tests.helpers import phantoms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter


def write_enhanced(
    folder: Path, modality: str, shape: tuple[int, int, int] = phantoms.SHAPE
) -> tuple[Path, list[Dataset]]:
    geometry = phantoms.oblique_geometry(shape)
    volume = phantoms.distinct(geometry)
    if modality == "PT":
        volume = volume.with_array(becquerel_per_ml(volume.array / 1000))
    datasets = phantoms.instances(volume, modality)
    return phantoms.legacy_enhanced(folder, datasets), datasets


def edit(folder: Path, changes: dict[str, object], *, drop: tuple[str, ...] = ()) -> Path:
    dataset = dcmread(folder / "enhanced.dcm")
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    for keyword in drop:
        del dataset[keyword]
    dataset.save_as(folder / "enhanced.dcm")
    return folder


def real_world_mapping(unit: str, slope: float | None, intercept: float) -> Dataset:
    """An item of Real World Value Mapping Sequence; without a slope where it is None."""
    mapping, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    mapping.MeasurementUnitsCodeSequence = [code]
    mapping.RealWorldValueIntercept = intercept
    if slope is not None:
        mapping.RealWorldValueSlope = slope
    return mapping


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_multi_frame_gives_the_volume_of_its_single_frames(tmp_path: Path, modality: str) -> None:
    folder, datasets = write_enhanced(tmp_path / "multi", modality)
    single = phantoms.read(phantoms.save(tmp_path / "single", datasets)).volume

    multi = phantoms.read(folder).volume

    assert multi.geometry_equal(single, tol=1e-5)
    np.testing.assert_array_equal(multi.array, single.array)


def test_multi_frame_pet_gives_suv_by_its_decay_correction_time(tmp_path: Path) -> None:
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

    multi = phantoms.read(edit(folder, pet)).volume

    np.testing.assert_allclose(multi.array, single.array, rtol=1e-6)


@pytest.mark.parametrize("units", [None, "BQML"])
@pytest.mark.parametrize(("unit", "factor"), [("{SUVbw}g/ml", 1.0), ("Bq/ml", None)])
def test_multi_frame_pet_takes_its_units_from_the_real_world_value_mapping(
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
        dataset.Units = units  # of the stored values before the mapping
    dataset.save_as(folder / "enhanced.dcm")
    expected = factor or 1 / float(becquerel_per_ml(np.ones(1, np.float32))[0])

    series = phantoms.read(folder)

    stored = dcmread(folder / "enhanced.dcm").pixel_array
    assert series.unit == "SUVbw"
    np.testing.assert_allclose(series.volume.array.max(), stored.max() * 0.5 * expected, rtol=1e-5)


@pytest.mark.parametrize("change", ["table", "no slope", "no number"])
def test_a_mapping_without_slope_is_an_error_and_not_a_volume_of_stored_values(tmp_path: Path, change: str) -> None:
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


def test_of_several_mappings_that_to_suv_is_taken(tmp_path: Path) -> None:
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


def test_private_sequences_do_not_stand_for_the_standard_ones(tmp_path: Path) -> None:
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


def test_multi_frame_pet_that_is_not_corrected_for_attenuation_is_refused(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "PT")
    edit(folder, {"AttenuationCorrected": "NO", "CorrectedImage": ["DECY"]})

    with pytest.raises(SuvError, match="not corrected for attenuation"):
        phantoms.read(folder)


def test_a_frame_count_that_the_functional_groups_do_not_have_is_an_error(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "CT")
    dataset = dcmread(folder / "enhanced.dcm")
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]
    dataset.save_as(folder / "enhanced.dcm")

    with pytest.raises(SeriesError, match=r"NumberOfFrames \(0028,0008\) is 7, but .* describes 6"):
        phantoms.checked(folder)


def test_one_volume_of_a_multi_frame_instance_is_taken_when_asked_for(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "MR")
    twice = dcmread(folder / "enhanced.dcm")
    pixels = twice.pixel_array
    twice.PixelData = np.concatenate([pixels, pixels + 5]).astype("<i2").tobytes()
    twice.NumberOfFrames = 14
    frames = list(twice.PerFrameFunctionalGroupsSequence) + deepcopy(list(twice.PerFrameFunctionalGroupsSequence))
    for number, frame in enumerate(frames):
        frame.FrameContentSequence[0].TemporalPositionIndex = 1 + number // 7
    twice.PerFrameFunctionalGroupsSequence = frames
    twice.save_as(folder / "enhanced.dcm")

    with pytest.raises(SeriesError, match=r"2 volumes in one series \(TemporalPositionIndex: 1, 2\)"):
        phantoms.checked(folder)
    first, second = (phantoms.read(folder, f"volume={number}").volume.array for number in (1, 2))

    np.testing.assert_array_equal(second, first + 5)


def test_two_encodings_of_one_multi_frame_instance_are_an_error(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "CT")
    other = dcmread(folder / "enhanced.dcm")
    other.InstanceNumber = 2
    other.save_as(folder / "other.dcm")

    (candidate,) = group(scan(folder).instances)

    assert len(candidate.instances) == 2
    with pytest.raises(SeriesError, match=r"is the same in 2 different files: enhanced\.dcm, other\.dcm"):
        phantoms.checked(folder)


def test_a_truncated_multi_frame_instance_is_found_by_its_header(tmp_path: Path) -> None:
    folder, _ = write_enhanced(tmp_path, "CT")
    path = folder / "enhanced.dcm"
    path.write_bytes(path.read_bytes()[:-2000])

    with pytest.raises(PixelDataError, match="truncated: 13 x 11 x 7 pixels"):
        phantoms.checked(folder)
