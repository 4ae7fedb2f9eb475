"""Enhanced (multi-frame) CT, MR and PET give the volumes that their single-frame originals give."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from clickseg.dicom.files import scan
from clickseg.dicom.series import group
from clickseg.errors import PixelDataError, SeriesError, SuvError
from clickseg.phantom.dicom import becquerel_per_ml
from tests import phantoms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter


def write_enhanced(folder: Path, modality: str) -> tuple[Path, list[Dataset]]:
    geometry = phantoms.oblique_geometry()
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


@pytest.mark.parametrize(("unit", "factor"), [("{SUVbw}g/ml", 1.0), ("Bq/ml", None)])
def test_multi_frame_pet_takes_its_units_from_the_real_world_value_mapping(
    tmp_path: Path, unit: str, factor: float | None
) -> None:
    folder, datasets = write_enhanced(tmp_path, "PT")
    dataset = dcmread(folder / "enhanced.dcm")
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        mapping, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
        mapping.MeasurementUnitsCodeSequence = [code]
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 0.5, 0.0
        frame.RealWorldValueMappingSequence = [mapping]
    dataset.AttenuationCorrected, dataset.DecayCorrected = "YES", "YES"
    dataset.DecayCorrectionDateTime = "20260102093000"
    dataset.RadiopharmaceuticalInformationSequence = datasets[0].RadiopharmaceuticalInformationSequence
    if "Units" in dataset:
        del dataset.Units
    dataset.save_as(folder / "enhanced.dcm")
    expected = factor or 1 / float(becquerel_per_ml(np.ones(1, np.float32))[0])

    series = phantoms.read(folder)

    stored = dcmread(folder / "enhanced.dcm").pixel_array
    assert series.unit == "SUVbw"
    np.testing.assert_allclose(series.volume.array.max(), stored.max() * 0.5 * expected, rtol=1e-5)


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
