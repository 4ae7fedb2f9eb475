"""The shipped models on real PET, CT and MR, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cases import dice, position_mm, read_whole_body_pet
from clickseg.clicks.click import Click, Clicks
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.clicks.simulated.clicker import Clicker, VoxelChoice
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.read import read_case
from clickseg.dicom.volume import load_volume
from tests.helpers import phantoms, runs
from tests.helpers.dicom_results import dciodvfy_errors, read_seg_mask

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.oracle
def test_a_click_in_the_tumour_and_a_background_click_segment_the_tumour(fixtures: Path, tmp_path: Path) -> None:
    images = fixtures / "pet_raw_sts001" / "FDG_PET" / "image"
    case = read_whole_body_pet(fixtures)
    write_clicks_json(case.clicks, tmp_path / "c.json")

    scores = {}
    for name, options in {"model": [], "raw network": ["--postprocessing", "off"]}.items():
        out = tmp_path / name
        process = runs.run_clickseg("segment", images, "--clicks", tmp_path / "c.json", "-o", out, *options)
        assert process.returncode == 0, process.stderr
        (entry,) = json.loads((out / "report.json").read_text())["series"]
        mask = read_seg_mask(out / entry["files"]["seg"], images)
        scores[name] = (dice(mask, case.tumour), entry["segments"][0]["volume_ml"])

    assert scores["model"][0] >= 0.8
    assert scores["raw network"][0] < 0.5
    assert scores["raw network"][1] > 1000


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["CT", "MR_T1"])
def test_five_clicks_segment_a_tumour_in_ct_and_mr(fixtures: Path, tmp_path: Path, folder: str) -> None:
    study = fixtures / "petct_ibsi" / "STS_002" / folder
    case = read_case(CaseFiles(folder, (folder[:2],), (study / "image",), study / "mask" / "RS.dcm"))
    truth = case.truth.array > 0
    series = load_volume(phantoms.read_geometry(study / "image"))
    clicker, mask, clicks = Clicker(VoxelChoice.LARGEST, case.truth.spacing), np.zeros_like(truth), list[Click]()

    for _ in range(5):
        click = clicker.largest_error_click(truth, mask, np.random.default_rng(0))
        assert click is not None
        clicks.append(Click("lesion", click.polarity, position_mm(series, np.array(click.voxel))))
        write_clicks_json(Clicks(tuple(clicks), series.volume.frame_of_reference_uid), tmp_path / "c.json")
        out = tmp_path / str(len(clicks))
        process = runs.run_clickseg("segment", study / "image", "--clicks", tmp_path / "c.json", "-o", out)
        assert process.returncode == 0, process.stderr
        report = json.loads((out / "report.json").read_text())
        mask = read_seg_mask(out / report["series"][0]["files"]["seg"], study / "image")

    assert report["model"]["name"] == "lesion"
    assert dice(mask, truth) >= 0.75


def test_the_pet_model_segments_the_pet_series_of_a_pet_ct_study(fixtures: Path, tmp_path: Path) -> None:
    study = fixtures / "petct_ibsi" / "STS_002"

    process = runs.run_clickseg("segment", study, "-o", tmp_path / "out")

    assert process.returncode == 0, process.stderr
    assert "PT series in PET/image: model pet_lesion" in process.stderr
    assert "skipped: CT in CT/image: model pet_lesion is for PT" in process.stderr
    assert "skipped: MR in MR_T1/image: model pet_lesion is for PT" in process.stderr
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert entry["modality"] == "PT"


@pytest.mark.slow
def test_a_requested_series_overrides_the_automatic_choice(fixtures: Path, tmp_path: Path) -> None:
    study = fixtures / "petct_ibsi" / "STS_002"
    uids = {name: phantoms.read_geometry(study / name / "image").files.series_uid for name in ("PET", "CT")}

    pet = runs.run_clickseg("segment", study, "-o", tmp_path / "pet", "--series", uids["PET"])
    ct = runs.run_clickseg("segment", study, "-o", tmp_path / "ct", "--series", uids["CT"])

    assert pet.returncode == 0
    assert ct.returncode == 1
    assert "error: model lesion: expected a foreground click, got none" in ct.stderr


@pytest.mark.slow
def test_the_requested_series_of_two_pet_series_is_segmented(fixtures: Path, tmp_path: Path) -> None:
    study = tmp_path / "in"
    shutil.copytree(fixtures / "petct_ibsi" / "STS_002" / "PET" / "image", study / "one")
    shutil.copytree(study / "one", study / "two")
    phantoms.change(
        study / "two", lambda dataset: setattr(dataset, "SOPInstanceUID", "2.25." + dataset.SOPInstanceUID[-20:])
    )
    phantoms.change(study / "two", lambda dataset: setattr(dataset, "SeriesInstanceUID", "2.25.77"))

    process = runs.run_clickseg("segment", study, "-o", tmp_path / "out", "--series", "2.25.77")

    assert process.returncode == 0, process.stderr
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert entry["series_instance_uid"] == "2.25.77"
    assert "skipped: PT in one: not selected with --series" in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("patient", ["STS_002", "STS_008"])
def test_dciodvfy_finds_no_error_in_the_results_of_the_application(
    fixtures: Path, dciodvfy: str, tmp_path: Path, patient: str
) -> None:
    application = ["python", runs.REPOSITORY / "app", "-i", fixtures / "petct_ibsi" / patient, "-o", tmp_path / "out"]

    process = runs.run_process(application)

    assert process.returncode == 0, process.stderr
    results = sorted((tmp_path / "out").glob("*.dcm"))
    assert results
    assert {path.name: dciodvfy_errors(path, dciodvfy) for path in results} == {path.name: [] for path in results}
