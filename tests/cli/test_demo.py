"""The phantom study and the default model on it: the first thing that a newcomer sees."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from benchmarks.cases import dice
from clickseg.datasets.phantom import BODY, CLICKS, LESIONS, draw_suv, pet_geometry, write_study
from tests.helpers import phantoms, runs
from tests.helpers.dicom_results import mask_of, violations


def test_the_study_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_study(tmp_path / name)

    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 60 + 52 + 1
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_its_series_are_valid_dicom(tmp_path: Path, dciodvfy: str) -> None:
    write_study(tmp_path)

    for path in (tmp_path / "PET" / "0030.dcm", tmp_path / "CT" / "0020.dcm"):
        assert violations(path, dciodvfy) == []


def test_its_pet_is_read_back_as_the_suv_that_it_was_made_from(tmp_path: Path) -> None:
    write_study(tmp_path)

    volume = phantoms.read(tmp_path / "PET").volume

    np.testing.assert_allclose(volume.array, draw_suv(pet_geometry()), atol=1e-3)
    liver = volume.map_reference_to_indices(np.array([BODY[3].centre_mm]))[0].round().astype(int)
    assert volume.array[tuple(slice(x - 2, x + 3) for x in liver)].mean() == pytest.approx(2.2, abs=0.05)


def test_the_demo_finds_the_lesions_and_nothing_else(tmp_path: Path, dciodvfy: str) -> None:
    ended = runs.clickseg("demo", "-o", tmp_path / "demo")

    assert ended.returncode == 0, ended.stderr
    result = tmp_path / "demo" / "result"
    report = json.loads((result / "report.json").read_text())
    (entry,) = report["series"]
    assert entry["modality"] == "PT"
    assert entry["clicks"]["foreground"] == 2
    assert [each["modality"] for each in report["passed_over"]["series"]] == ["CT"]
    seg = result / entry["files"]["seg"]
    assert violations(seg, dciodvfy) == []
    assert violations(result / entry["files"]["sr"], dciodvfy) == []
    assert dice(mask_of(seg, tmp_path / "demo" / "study" / "PET"), in_lesions(pet_geometry())) > 0.75


def in_lesions(geometry: hd.VolumeGeometry) -> np.ndarray:
    """The voxels of a grid whose centres lie in a lesion."""
    places = geometry.map_indices_to_reference(np.indices(geometry.spatial_shape).reshape(3, -1).T)
    inside = [np.linalg.norm((places - each.centre_mm) / each.radii_mm, axis=1) <= 1 for each in LESIONS]
    return np.any(inside, axis=0).reshape(geometry.spatial_shape)


def test_the_study_alone_can_be_made(tmp_path: Path) -> None:
    ended = runs.clickseg("demo", "--study-only", "-o", tmp_path / "demo")

    assert ended.stdout == f"study    {tmp_path / 'demo' / 'study'}\n"
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["study"]
    assert dcmread(tmp_path / "demo" / "study" / "PET" / "0001.dcm").Units == "BQML"


def test_the_clicks_lie_in_what_they_are_for() -> None:
    centres = [LESIONS[0].centre_mm, LESIONS[2].centre_mm, BODY[4].centre_mm]

    assert [click.position_mm for click in CLICKS] == centres
