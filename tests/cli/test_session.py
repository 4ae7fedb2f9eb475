"""``clickseg segment --session`` opens a session, ``clickseg refine`` goes on with it; the result is segment's."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import highdicom as hd
import pytest
from pydicom import dcmread

from clickseg.clicks.click import Polarity
from tests.helpers import phantoms, runs

CLOCK = "1700000000"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


def opened(tmp_path: Path, models: Path, *clicks: object) -> Path:
    study = runs.write_input(tmp_path / "in", *clicks)
    ended = runs.clickseg(
        "segment", study, "-o", tmp_path / "out", "-m", models, "--session", tmp_path / "s", SOURCE_DATE_EPOCH=CLOCK
    )
    assert ended.returncode == 0, ended.stderr
    return study


def refined(tmp_path: Path, models: Path, *arguments: object, code: int = 0) -> str:
    shutil.rmtree(tmp_path / "refined", ignore_errors=True)
    command = ("refine", tmp_path / "in", "-o", tmp_path / "refined", "-m", models, "--session", tmp_path / "s")
    ended = runs.clickseg(*command, *arguments, SOURCE_DATE_EPOCH=CLOCK)
    assert ended.returncode == code, ended.stderr
    return ended.stderr if code else ended.stdout


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".dcm"}


def segmented(tmp_path: Path, models: Path, *clicks: object) -> Path:
    """The output of ``clickseg segment`` with some clicks."""
    study, output = runs.write_input(tmp_path / "plain", *clicks), tmp_path / "same"
    shutil.rmtree(output, ignore_errors=True)
    ended = runs.clickseg("segment", study, "-o", output, "-m", models, SOURCE_DATE_EPOCH=CLOCK)
    assert ended.returncode == 0, ended.stderr
    return output.rename(tmp_path / uuid.uuid4().hex)


def voxels_found(folder: Path) -> int:
    seg = next(path for path in folder.glob("*.dcm") if dcmread(path, stop_before_pixels=True).Modality == "SEG")
    return int(hd.seg.segread(seg).pixel_array.sum())


def place(click: object) -> str:
    return ",".join(str(value) for value in click.position_mm)


def test_a_session_gives_the_files_that_segment_gives_with_the_same_clicks(tmp_path: Path, models: Path) -> None:
    first, second = runs.click(9, 11, 13), runs.click(3, 3, 4)
    opened(tmp_path, models, first)

    said = refined(tmp_path, models, "--add", place(second), "--label", "hook", "--user", "ann")

    assert written(tmp_path / "refined") == written(segmented(tmp_path, models, first, second))
    assert said.startswith("changed  ")
    assert "2 clicks" in said


def test_steps_are_taken_back_done_again_and_removed(tmp_path: Path, models: Path) -> None:
    opened(tmp_path, models, runs.click(9, 11, 13))
    before = written(tmp_path / "out")
    refined(tmp_path, models, "--add", place(runs.click(3, 3, 4)), "--background")
    with_two = written(tmp_path / "refined")

    for arguments, expected in ((["--undo"], before), (["--redo"], with_two), (["--remove", 2], before)):
        refined(tmp_path, models, *arguments)
        assert written(tmp_path / "refined") == expected
    refined(tmp_path, models, "--reset")
    assert written(tmp_path / "refined") != before
    refined(tmp_path, models, "--undo")
    assert written(tmp_path / "refined") == before


def test_nothing_asked_for_writes_the_result_as_it_is(tmp_path: Path, models: Path) -> None:
    opened(tmp_path, models, runs.click(9, 11, 13))

    said = refined(tmp_path, models)

    assert "changed" not in said
    assert written(tmp_path / "refined") == written(tmp_path / "out")


def test_the_log_says_who_did_what_when_and_nothing_of_the_patient(tmp_path: Path, models: Path) -> None:
    opened(tmp_path, models)
    refined(tmp_path, models, "--add", place(runs.click(3, 3, 4)), "--user", "ann")

    record = json.loads((tmp_path / "s" / "session.json").read_text())
    (step,) = record["steps"]

    assert (step["action"], step["user"], step["click"]["label"]) == ("add", "ann", "hook")
    assert step["time"].endswith("+00:00")
    patient = phantoms.header("CT")
    assert str(patient.PatientName) not in json.dumps(record)
    assert str(patient.PatientID) not in json.dumps(record)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--add", "1,2"], 2, "--add: expected three numbers X,Y,Z (LPS mm), got '1,2'"),
        (["--add", "-1,x,2"], 2, "--add: expected three numbers X,Y,Z (LPS mm), got '-1,x,2'"),
        (["--label", "hook"], 2, "--label and --background are of a click that is added"),
        (["--add", "9999,0,0"], 1, "lies outside the series"),
        (["--add", "0,0,0", "--label", "nose"], 1, "unknown label 'nose'"),
        (["--remove", "7"], 1, "remove: expected a click from 1 to 1, got 7"),
        (["--redo"], 1, "redo: there is nothing to redo"),
        (["--undo", "--redo"], 2, "not allowed with argument"),
    ],
)
def test_what_cannot_be_done_is_one_error_line_and_changes_nothing(
    tmp_path: Path, models: Path, arguments: list[str], code: int, message: str
) -> None:
    opened(tmp_path, models, runs.click(9, 11, 13))
    record = (tmp_path / "s" / "session.json").read_bytes()

    said = refined(tmp_path, models, *arguments, code=code)

    assert message in said
    assert (tmp_path / "s" / "session.json").read_bytes() == record
    assert not (tmp_path / "refined").exists()


def test_a_folder_without_a_session_is_one_error(tmp_path: Path, models: Path) -> None:
    runs.write_input(tmp_path / "in")

    said = refined(tmp_path, models, "--undo", code=1)

    assert "expected a session, found no session.json" in said


def test_a_session_is_opened_once(tmp_path: Path, models: Path) -> None:
    study = opened(tmp_path, models, runs.click(9, 11, 13))

    ended = runs.clickseg("segment", study, "-o", tmp_path / "o", "-m", models, "--session", tmp_path / "s")

    assert ended.returncode == 1
    assert "holds a session already" in ended.stderr
    assert "clickseg refine goes on with it" in ended.stderr


def test_a_session_is_of_one_series(tmp_path: Path, models: Path) -> None:
    runs.write_input(tmp_path / "in", name="one")
    phantoms.write(tmp_path / "in" / "other", phantoms.hook(phantoms.oblique_geometry()), name="other")

    ended = runs.clickseg("segment", tmp_path / "in", "-o", tmp_path / "o", "-m", models, "--session", tmp_path / "s")

    assert ended.returncode == 2
    assert "a session is of one series, got 2 to be segmented" in ended.stderr


def test_a_model_that_is_given_its_previous_mask_is_replayed_at_both_doors(tmp_path: Path) -> None:
    section = phantoms.metadata(
        grid={"spacing_mm": runs.GRID_SPACING_MM, "orientation": "RAS"},
        guidance=phantoms.GUIDANCE | {"previous_mask": [{"takes": ["hook"]}]},
    )
    weights = [[0, 0, 0, 0], [1, 100, -100, 0.8]]  # where two balls meet, what was found before decides
    phantoms.linear_model(tmp_path / "models" / "refining", section, weights, bias=[0, 0])
    models = tmp_path / "models"
    first, second = runs.click(3, 3, 4), runs.click(3, 3, 6, polarity=Polarity.BACKGROUND)
    opened(tmp_path, models, first)

    refined(tmp_path, models, "--add", place(second), "--background")

    in_order, other_order = (segmented(tmp_path, models, *each) for each in ((first, second), (second, first)))
    assert written(tmp_path / "refined") == written(in_order)
    assert voxels_found(in_order) > voxels_found(other_order)
    refined(tmp_path, models, "--undo")
    assert written(tmp_path / "refined") == written(segmented(tmp_path, models, first))


def test_a_model_that_needs_clicks_begins_without_in_a_session_alone(tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models", guidance={**phantoms.GUIDANCE, "required": True})
    study = runs.write_input(tmp_path / "in")

    plain = runs.clickseg("segment", study, "-o", tmp_path / "plain", "-m", models)
    opened(tmp_path, models)
    refined(tmp_path, models, "--add", place(runs.click(3, 3, 4)))
    clicked = written(tmp_path / "refined")
    refined(tmp_path, models, "--undo")

    assert plain.returncode == 1
    assert "error: model thresholder: expected a foreground click, got none" in plain.stderr
    assert not list((tmp_path / "plain").glob("*.dcm"))
    assert clicked == written(segmented(tmp_path, models, runs.click(3, 3, 4)))
    for guessed in ("out", "refined"):
        (entry,) = json.loads((tmp_path / guessed / "report.json").read_text())["series"]
        assert entry["segments"] == []
