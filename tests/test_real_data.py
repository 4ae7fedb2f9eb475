"""The default model on real PET, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cases import dice, whole_body_pet
from clickseg.clicks.clicks_json import write_clicks_json
from tests import phantoms, runs
from tests.test_demo import mask_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.slow
def test_one_click_in_the_tumour_and_one_in_the_hottest_organ(fixtures: Path, tmp_path: Path) -> None:
    images = fixtures / "pet_raw_sts001" / "FDG_PET" / "image"
    case = whole_body_pet(fixtures)
    write_clicks_json(case.clicks, tmp_path / "c.json")

    scores = {}
    for name, options in {"model": [], "raw network": ["--postprocessing", "off"]}.items():
        out = tmp_path / name
        ended = runs.clickseg("segment", images, "--clicks", tmp_path / "c.json", "-o", out, *options)
        assert ended.returncode == 0, ended.stderr
        (entry,) = json.loads((out / "report.json").read_text())["series"]
        found = mask_of(out / entry["files"]["seg"], images)
        scores[name] = (dice(found, case.tumour), entry["segments"][0]["volume_ml"])

    assert scores["model"][0] >= 0.6
    assert scores["raw network"][0] < 0.4
    assert scores["raw network"][1] > 2000


def test_the_pet_model_takes_the_pet_of_a_pet_ct_study_and_says_so(fixtures: Path, tmp_path: Path) -> None:
    study = fixtures / "petct_ibsi" / "STS_002"

    ended = runs.clickseg("segment", study, "-o", tmp_path / "out")

    assert ended.returncode == 0, ended.stderr
    assert "PT series in PET/image: model pet_lesion" in ended.stderr
    assert "passed over: CT in CT/image: model pet_lesion takes PT" in ended.stderr
    assert "passed over: MR in MR_T1/image: model pet_lesion takes PT" in ended.stderr
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert entry["modality"] == "PT"


def test_a_named_series_overrides_the_choice(fixtures: Path, tmp_path: Path) -> None:
    study = fixtures / "petct_ibsi" / "STS_002"
    uids = {m: phantoms.checked(study / m / "image").candidate.series_uid for m in ("PET", "CT")}

    pet = runs.clickseg("segment", study, "-o", tmp_path / "pet", "--series", uids["PET"])
    ct = runs.clickseg("segment", study, "-o", tmp_path / "ct", "--series", uids["CT"])

    assert pet.returncode == 0
    assert ct.returncode == 1
    assert "error: no model for CT series: there are pet_lesion (for PT)" in ct.stderr
