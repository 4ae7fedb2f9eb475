"""One model package for PET, CT or MR: each series is read, scaled and postprocessed by the rules of its modality."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from clickseg.batch.settings import read_settings
from clickseg.cli.models_export import calibration_windows
from clickseg.clicks.click import Click, Clicks
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.core.errors import ModelError
from clickseg.datasets.phantom import suv_to_bq_per_ml
from clickseg.inference.preprocess import make_case
from clickseg.models.package import load_package
from tests.helpers import phantoms, runs
from tests.helpers.runs import REPOSITORY, run_clickseg, run_process

FAR = runs.click(9, 11, 13)
INSIDE_OUTSIDE = {"PT": (8, 1), "CT": (500, 100), "MR": (50, 20)}
"""Values inside and outside the hook. With the scaling of another modality, all voxels are above 0, or none."""

EXPECTED = {"PT": runs.expected_labels(), "CT": runs.expected_labels(FAR), "MR": runs.expected_labels()}
"""The ball of a click outside the hook is below the ``min_value`` of PET and MR; CT has no ``min_value``."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rules = tmp_path_factory.mktemp("models"), {"min_value": 1.5}
    return runs.write_model(folder, "any", inputs=[phantoms.ANY_MODALITY], postprocessing=rules)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PET, CT and MR of one study, and a click file."""
    return write_study(tmp_path_factory.mktemp("study"), "PT", "CT", "MR")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, study: Path, models: Path) -> Path:
    """The results of ``clickseg segment`` for the study."""
    out = tmp_path_factory.mktemp("output") / "out"
    ended = run_clickseg("segment", study, "-o", out, "-m", models, "--statistics", "--precision", "f32")
    assert ended.returncode == 0, ended.stderr
    lines = {f"{name} series in {name}: model any, 1 click of clicks.json (1 foreground)" for name in EXPECTED}
    assert lines < set(ended.stderr.splitlines())
    assert "skipped" not in ended.stderr
    assert "ignored" not in ended.stderr
    return out


def write_study(folder: Path, *modalities: str, clicks: tuple[Click, ...] = (FAR,)) -> Path:
    """Writes a hook in some modalities, with a click file for their frame of reference."""
    for modality in modalities:
        volume = phantoms.hook_volume(runs.GEOMETRY, *INSIDE_OUTSIDE[modality])
        stored = suv_to_bq_per_ml(volume.array) if modality == "PT" else volume.array
        phantoms.write(folder / modality, volume.with_array(stored), modality)
    write_clicks_json(Clicks(clicks, str(phantoms.header("CT").FrameOfReferenceUID)), folder / "clicks.json")
    return folder


def report_entries(output: Path) -> dict[str, dict[str, object]]:
    """Returns the entries of a report by modality."""
    report = json.loads((output / "report.json").read_text())
    return {entry["modality"]: entry for entry in report["series"]}


def read_mask(output: Path, entry: dict[str, object], series: Path) -> np.ndarray:
    """Returns the mask of an entry's SEG, on the grid of its series."""
    sources = [plane.instance.text("SOPInstanceUID") for plane in phantoms.read(series).stack.planes]
    seg = hd.seg.segread(output / entry["files"]["seg"])
    assert str(seg.FrameOfReferenceUID) == entry["frame_of_reference_uid"]
    pixels = seg.get_pixels_by_source_instance(
        sources, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    return pixels[..., 0] > 0


def dicom_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".dcm"}


def test_each_series_of_a_study_is_segmented_by_the_rules_of_its_modality(study: Path, output: Path) -> None:
    entries = report_entries(output)

    assert entries.keys() == EXPECTED.keys()
    for modality, expected in EXPECTED.items():
        np.testing.assert_array_equal(read_mask(output, entries[modality], study / modality), expected, modality)


def test_the_report_contains_the_rules_of_each_modality(output: Path) -> None:
    entries = report_entries(output)

    assert {name: entry["postprocessing"]["min_value"] for name, entry in entries.items()} == {
        "PT": 1.5,
        "CT": None,
        "MR": 35,
    }
    assert {name: entry["inputs"][0]["unit"] for name, entry in entries.items()} == {
        "PT": "SUVbw",
        "CT": "HU",
        "MR": "",
    }
    assert {name: entry["segments"][0]["statistics"]["unit"] for name, entry in entries.items()} == {
        "PT": "SUVbw",
        "CT": "HU",
        "MR": "",
    }


def test_only_pet_has_suv_measurements(output: Path) -> None:
    for modality, entry in report_entries(output).items():
        (segment,) = entry["segments"]
        assert segment.get("suv_max") == (pytest.approx(8, rel=1e-3) if modality == "PT" else None)
        report = hd.sr.srread(output / entry["files"]["sr"])
        (group,) = report.content.get_volumetric_roi_measurement_groups()
        units = [measurement.unit.value for measurement in group.get_measurements()]
        assert (len(units), "g/ml{SUVbw}" in units) == ((5, True) if modality == "PT" else (1, False))


@pytest.mark.parametrize("modality", EXPECTED)
def test_the_result_of_a_series_does_not_depend_on_the_other_series(
    tmp_path: Path, models: Path, output: Path, modality: str
) -> None:
    alone = write_study(tmp_path / "alone", modality)

    ended = run_clickseg("segment", alone, "-o", tmp_path / "same", "-m", models, "--precision", "f32")

    assert ended.returncode == 0, ended.stderr
    assert dicom_files(tmp_path / "same").items() < dicom_files(output).items()


@pytest.mark.slow
def test_the_application_gives_the_same_bytes(tmp_path: Path, models: Path, study: Path, output: Path) -> None:
    ended = run_process(
        ["python", REPOSITORY / "app", "-i", study, "-o", tmp_path / "app", "-m", models],
        CLICKSEG_PRECISION="f32",
    )

    assert ended.returncode == 0, ended.stderr
    assert dicom_files(tmp_path / "app") == dicom_files(output)


@pytest.mark.parametrize("modality", ["PT", "CT"])
def test_a_resumed_session_uses_the_rules_of_its_modality(
    tmp_path: Path, models: Path, study: Path, modality: str
) -> None:
    second, uid = runs.click(2, 11, 4), str(phantoms.header(modality).SeriesInstanceUID)
    both = write_study(tmp_path / "both", "PT", "CT", clicks=(FAR, second))
    options = ("-m", models, "--precision", "f32")
    position = ",".join(str(value) for value in second.position_mm)

    opened = run_clickseg(
        "segment", study, "-o", tmp_path / "out", "--session", tmp_path / "s", "--series", uid, *options
    )
    refined = run_clickseg(
        "refine", study, "-o", tmp_path / "refined", "--session", tmp_path / "s", "--add", position, *options
    )
    plain = run_clickseg("segment", both, "-o", tmp_path / "plain", "--series", uid, *options)

    assert [ended.returncode for ended in (opened, refined, plain)] == [0, 0, 0], refined.stderr
    assert dicom_files(tmp_path / "refined") == dicom_files(tmp_path / "plain")
    expected = runs.expected_labels(FAR, second) if modality == "CT" else runs.expected_labels()
    (entry,) = report_entries(tmp_path / "refined").values()
    np.testing.assert_array_equal(read_mask(tmp_path / "refined", entry, study / modality), expected)


def test_a_session_needs_a_single_series(tmp_path: Path, models: Path, study: Path) -> None:
    ended = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, "--session", tmp_path / "s")

    assert ended.returncode == 2
    assert "expected one series to segment in a session, got 3" in ended.stderr


def test_calibration_windows_are_scaled_by_the_rules_of_their_modality(tmp_path: Path, models: Path) -> None:
    study = write_study(tmp_path / "in", "PT", "CT")

    windows = calibration_windows(read_settings(study, tmp_path, models, {}, {}))

    values = np.unique(np.concatenate([window[0].ravel() for window in windows]).round(3))
    pet, ct = [2 * suv / 10 - 1 for suv in (8, 1)], [(hu + 600) / 800 - 1 for hu in (500, 100)]
    np.testing.assert_allclose(values, sorted([*pet, *ct]), atol=2e-3)


def test_a_series_of_another_modality_is_rejected(tmp_path: Path) -> None:
    image = phantoms.ANY_MODALITY | {"alternatives": phantoms.ANY_MODALITY["alternatives"][:1]}
    package = load_package(phantoms.write_package(tmp_path / "m", phantoms.metadata(inputs=[image])))
    series = phantoms.read(write_study(tmp_path / "in", "MR") / "MR")

    with pytest.raises(ModelError, match="model m: input image: expected PT SUVbw or CT HU, got MR"):
        make_case([series], Clicks(), package)


def test_the_models_command_lists_all_modalities(models: Path) -> None:
    ended = run_clickseg("models", "-m", models)

    assert ended.stdout == f"any 1.2.3: PT or CT or MR -> hook ({models / 'any'})\n"


def test_the_segmentations_of_a_study_have_different_series_uids_and_numbers(output: Path) -> None:
    segs = [dcmread(output / entry["files"]["seg"]) for entry in report_entries(output).values()]

    assert len({seg.SeriesInstanceUID for seg in segs}) == len({seg.SeriesNumber for seg in segs}) == 3
