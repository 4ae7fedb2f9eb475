"""``clickseg demo``: the phantom study, and its segmentation by the default model."""

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
from tests.helpers.dicom_results import dciodvfy_errors, read_seg_mask


def test_the_study_has_identical_files_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_study(tmp_path / name)

    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 60 + 52 + 1
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_the_series_are_valid_dicom(tmp_path: Path, dciodvfy: str) -> None:
    write_study(tmp_path)

    for path in (tmp_path / "PET" / "0030.dcm", tmp_path / "CT" / "0020.dcm"):
        assert dciodvfy_errors(path, dciodvfy) == []


def test_the_suv_of_the_pet_is_the_simulated_suv(tmp_path: Path) -> None:
    write_study(tmp_path)

    volume = phantoms.read(tmp_path / "PET").volume

    np.testing.assert_allclose(volume.array, draw_suv(pet_geometry()), atol=1e-3)
    liver = volume.map_reference_to_indices(np.array([BODY[3].centre_mm]))[0].round().astype(int)
    assert volume.array[tuple(slice(index - 2, index + 3) for index in liver)].mean() == pytest.approx(2.2, abs=0.05)


def test_the_demo_segments_the_lesions(tmp_path: Path, dciodvfy: str) -> None:
    result = runs.run_clickseg("demo", "-o", tmp_path / "demo")

    assert result.returncode == 0, result.stderr
    output = tmp_path / "demo" / "result"
    report = json.loads((output / "report.json").read_text())
    (entry,) = report["series"]
    assert entry["modality"] == "PT"
    assert entry["clicks"]["foreground"] == 2
    assert [series["modality"] for series in report["skipped_series"]] == ["CT"]
    seg = output / entry["files"]["seg"]
    assert dciodvfy_errors(seg, dciodvfy) == []
    assert dciodvfy_errors(output / entry["files"]["sr"], dciodvfy) == []
    assert dice(read_seg_mask(seg, tmp_path / "demo" / "study" / "PET"), lesion_mask(pet_geometry())) > 0.75


def lesion_mask(geometry: hd.VolumeGeometry) -> np.ndarray:
    """Returns the voxels of a grid with centres in a lesion."""
    centres = geometry.map_indices_to_reference(np.indices(geometry.spatial_shape).reshape(3, -1).T)
    inside = [np.linalg.norm((centres - lesion.centre_mm) / lesion.radii_mm, axis=1) <= 1 for lesion in LESIONS]
    return np.any(inside, axis=0).reshape(geometry.spatial_shape)


def test_study_only_does_not_segment(tmp_path: Path) -> None:
    result = runs.run_clickseg("demo", "--study-only", "-o", tmp_path / "demo")

    assert result.stdout == f"study    {tmp_path / 'demo' / 'study'}\n"
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["study"]
    assert dcmread(tmp_path / "demo" / "study" / "PET" / "0001.dcm").Units == "BQML"


def test_the_clicks_are_at_the_centres_of_two_lesions_and_one_organ() -> None:
    centres = [LESIONS[0].centre_mm, LESIONS[2].centre_mm, BODY[4].centre_mm]

    assert [click.position_mm for click in CLICKS] == centres
