"""``clickseg clicks``: a file of clicks is shown, checked and converted, as a user types it."""

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
from tests.helpers.runs import clickseg, process


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return phantoms.write(tmp_path / "in", phantoms.distinct(phantoms.oblique_geometry()))


@pytest.fixture
def file(tmp_path: Path, study: Path) -> Path:
    geometry = phantoms.checked(study).stack.geometry
    points = geometry.map_indices_to_reference(np.array([[1, 2, 3], [6, 10, 12]]))
    clicks = tuple(Click("hook", polarity, tuple(x)) for polarity, x in zip(Polarity, points, strict=True))
    write_clicks_json(Clicks(clicks, str(phantoms.header("CT").FrameOfReferenceUID)), tmp_path / "c.json")
    return tmp_path / "c.json"


def test_clicks_are_shown_in_millimetres_and_as_voxels_of_a_series(file: Path, study: Path) -> None:
    alone, with_series = clickseg("clicks", file), clickseg("clicks", file, "--series", study)

    assert alone.stdout.splitlines()[0].split() == ["LABEL", "POLARITY", "LPS", "MM"]
    rows = [line.split() for line in with_series.stdout.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["hook", "foreground"], ["hook", "background"]]
    assert [row[-3:] for row in rows] == [["3", "2", "5"], ["12", "10", "0"]]  # i, j, k: k counts along the normal


def test_clicks_are_converted_to_a_file_and_to_standard_output(tmp_path: Path, file: Path, study: Path) -> None:
    told = clickseg("clicks", file, "--to", "deepedit", "--series", study)
    kept = clickseg("clicks", file, "--to", "sr", "--series", study, "-o", tmp_path / "c.dcm")

    assert json.loads(told.stdout) == {"hook": [[3, 2, 5]], "background": [[12, 10, 0]], "label": "hook"}
    assert kept.returncode == 0
    assert dcmread(tmp_path / "c.dcm").SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert clickseg("clicks", tmp_path / "c.dcm").stdout.splitlines()[1].split()[:2] == ["hook", "foreground"]


def test_clicks_that_are_not_in_the_series_are_refused(tmp_path: Path, file: Path) -> None:
    other = phantoms.write(tmp_path / "other", phantoms.distinct(phantoms.oblique_geometry()), name="other")
    far = tmp_path / "far.json"
    write_clicks_json(Clicks((Click("", Polarity.FOREGROUND, (999, 0, 0)),)), far)

    in_other_frame = clickseg("clicks", file, "--series", other)
    outside = clickseg("clicks", far, "--series", other)

    assert (in_other_frame.returncode, outside.returncode) == (1, 1)
    assert "expected one series that the clicks are for, got 0 of: CT" in in_other_frame.stderr
    assert "click 1: (999.0, 0.0, 0.0) mm lies outside the series" in outside.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "nifti"], "--to: expected clickseg, slicer, fcsv, grand-challenge"),
        (["--to", "sr"], "the form sr refers to a series"),
        (["--clicks-frame", "ras"], "clicks-frame: expected voxel, lps, got 'ras'"),
    ],
)
def test_wrong_use_is_said(file: Path, options: list[str], message: str) -> None:
    ended = clickseg("clicks", file, *options)

    assert ended.returncode == 2
    assert message in ended.stderr


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(tmp_path: Path, file: Path) -> None:
    before = file.read_bytes()
    clicks = json.loads(before)
    clicks["clicks"] *= 50
    (tmp_path / "many.json").write_text(json.dumps(clicks))
    command = f"{sys.executable} -m clickseg clicks {tmp_path / 'many.json'} --to clickseg -o {file}"

    ended = process(["bash", "-c", f"ulimit -f 4; {command}"])

    assert (ended.returncode, "File too large" in ended.stderr) == (1, True)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "in", "many.json"]


def test_a_converted_file_can_go_to_a_device(file: Path) -> None:
    ended = runs.command("clicks", file, "--to", "clickseg", "-o", "/dev/stdout")

    assert json.loads(ended.stdout)["version"] == 1


def test_voxels_need_a_series(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"foreground": [[1, 2, 3]], "background": []}')

    shown = clickseg("clicks", tmp_path / "p.json")
    converted = clickseg("clicks", tmp_path / "p.json", "--to", "slicer")

    assert "voxel 1 2 3" in shown.stdout
    assert converted.returncode == 2
    assert "p.json holds voxels of a series" in converted.stderr
