"""``clickseg clicks``: shows, checks and converts click files, as users call it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from tests.helpers import phantoms, runs
from tests.helpers.runs import run_clickseg, run_process


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return phantoms.write(tmp_path / "in", phantoms.distinct_volume(phantoms.oblique_geometry()))


@pytest.fixture
def click_file(tmp_path: Path, study: Path) -> Path:
    geometry = phantoms.read_geometry(study).stack.geometry
    points = geometry.map_indices_to_reference(np.array([[1, 2, 3], [6, 10, 12]]))
    clicks = tuple(Click("hook", polarity, tuple(x)) for polarity, x in zip(Polarity, points, strict=True))
    write_clicks_json(Clicks(clicks, str(phantoms.header("CT").FrameOfReferenceUID)), tmp_path / "c.json")
    return tmp_path / "c.json"


def test_clicks_are_shown_in_mm_and_as_voxel_indices(click_file: Path, study: Path) -> None:
    without_series, with_series = (
        run_clickseg("clicks", click_file),
        run_clickseg("clicks", click_file, "--dicom", study),
    )

    assert without_series.stdout.splitlines()[0].split() == ["LABEL", "POLARITY", "LPS", "MM"]
    rows = [line.split() for line in with_series.stdout.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["hook", "foreground"], ["hook", "background"]]
    assert [row[-3:] for row in rows] == [["3", "2", "5"], ["12", "10", "0"]]  # i, j, k: k increases along the normal


def test_clicks_are_converted_to_a_file_and_to_standard_output(tmp_path: Path, click_file: Path, study: Path) -> None:
    printed = run_clickseg("clicks", click_file, "--to", "deepedit", "--dicom", study)
    saved = run_clickseg("clicks", click_file, "--to", "sr", "--dicom", study, "-o", tmp_path / "c.dcm")

    assert json.loads(printed.stdout) == {"hook": [[3, 2, 5]], "background": [[12, 10, 0]], "label": "hook"}
    assert saved.returncode == 0
    assert dcmread(tmp_path / "c.dcm").SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert run_clickseg("clicks", tmp_path / "c.dcm").stdout.splitlines()[1].split()[:2] == ["hook", "foreground"]


def test_clicks_of_another_series_or_outside_it_are_rejected(tmp_path: Path, click_file: Path) -> None:
    other = phantoms.write(tmp_path / "other", phantoms.distinct_volume(phantoms.oblique_geometry()), name="other")
    far = tmp_path / "far.json"
    write_clicks_json(Clicks((Click("", Polarity.FOREGROUND, (999, 0, 0)),)), far)

    in_other_frame = run_clickseg("clicks", click_file, "--dicom", other)
    outside = run_clickseg("clicks", far, "--dicom", other)

    assert (in_other_frame.returncode, outside.returncode) == (1, 1)
    assert "expected one series that matches the clicks, got 0 of: CT" in in_other_frame.stderr
    assert "click 1: (999.0, 0.0, 0.0) mm is outside the series" in outside.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "nifti"], "--to: expected one of clickseg, slicer, fcsv, grand-challenge"),
        (["--to", "sr"], "the format sr requires the DICOM series of the clicks"),
        (["--clicks-frame", "ras"], "clicks-frame: expected one of voxel, lps, got 'ras'"),
    ],
)
def test_an_invalid_option_is_a_usage_error(click_file: Path, options: list[str], message: str) -> None:
    result = run_clickseg("clicks", click_file, *options)

    assert result.returncode == 2
    assert message in result.stderr


def test_a_file_that_cannot_be_replaced_completely_is_unchanged(tmp_path: Path, click_file: Path) -> None:
    before = click_file.read_bytes()
    clicks = json.loads(before)
    clicks["clicks"] *= 50
    (tmp_path / "many.json").write_text(json.dumps(clicks))
    command = f"{sys.executable} -m clickseg clicks {tmp_path / 'many.json'} --to clickseg -o {click_file}"

    result = run_process(["bash", "-c", f"ulimit -f 4; {command}"])

    assert (result.returncode, "File too large" in result.stderr) == (1, True)
    assert click_file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "in", "many.json"]


def test_clicks_can_be_converted_to_a_device(click_file: Path) -> None:
    result = runs.run_clickseg_process("clicks", click_file, "--to", "clickseg", "-o", "/dev/stdout")

    assert json.loads(result.stdout)["version"] == 1


def test_voxel_indices_need_a_series_to_be_converted(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"foreground": [[1, 2, 3]], "background": []}')

    table = run_clickseg("clicks", tmp_path / "p.json")
    converted = run_clickseg("clicks", tmp_path / "p.json", "--to", "slicer")

    assert "voxel 1 2 3" in table.stdout
    assert converted.returncode == 2
    assert "p.json: the clicks are voxel indices of a DICOM series" in converted.stderr


def test_clicks_on_a_series_that_needs_a_repair_are_converted_with_the_repair(
    tmp_path: Path, click_file: Path, study: Path
) -> None:
    planes = phantoms.read_geometry(study).stack.planes
    planes[3].instance.path.unlink()

    rejected = run_clickseg("clicks", click_file, "--to", "deepedit", "--dicom", study)
    shown = run_clickseg("clicks", click_file, "--dicom", study, "--repair", "resample")
    converted = run_clickseg(
        "clicks", click_file, "--to", "deepedit", "--dicom", study, "--repair", "volume=1,resample"
    )
    (tmp_path / "deepedit.json").write_text(converted.stdout)
    read_back = run_clickseg("clicks", tmp_path / "deepedit.json", "--dicom", study, "--repair", "resample")

    assert rejected.returncode == 1
    assert "1 missing slice in 1 place" in rejected.stderr
    assert json.loads(converted.stdout) == {"hook": [[3, 2, 4]], "background": [[12, 10, 0]], "label": "hook"}
    assert sorted(row.split()[-3:] for row in shown.stdout.splitlines()[1:]) == [["12", "10", "0"], ["3", "2", "4"]]
    before, after = ([row.split()[2:5] for row in text.stdout.splitlines()[1:]] for text in (shown, read_back))
    np.testing.assert_allclose(np.array(after, float), np.array(before, float), atol=0.002)


def test_an_unknown_repair_of_clicks_is_an_error(click_file: Path, study: Path) -> None:
    result = run_clickseg("clicks", click_file, "--dicom", study, "--repair", "resampel")

    assert result.returncode == 2
    assert "unknown repair 'resampel'" in result.stderr
