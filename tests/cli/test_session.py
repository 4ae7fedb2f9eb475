"""``clickseg segment --session`` opens a session, ``clickseg refine`` resumes it; results equal those of segment."""

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


def open_session(tmp_path: Path, models: Path, *clicks: object) -> Path:
    study = runs.write_input(tmp_path / "in", *clicks)
    result = runs.run_clickseg(
        "segment", study, "-o", tmp_path / "out", "-m", models, "--session", tmp_path / "s", SOURCE_DATE_EPOCH=CLOCK
    )
    assert result.returncode == 0, result.stderr
    return study


def refine(tmp_path: Path, models: Path, *arguments: object, code: int = 0) -> str:
    shutil.rmtree(tmp_path / "refined", ignore_errors=True)
    command = ("refine", tmp_path / "in", "-o", tmp_path / "refined", "-m", models, "--session", tmp_path / "s")
    result = runs.run_clickseg(*command, *arguments, SOURCE_DATE_EPOCH=CLOCK)
    assert result.returncode == code, result.stderr
    return result.stderr if code else result.stdout


def read_dicom_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".dcm"}


def segment(tmp_path: Path, models: Path, *clicks: object) -> Path:
    """Returns the output folder of ``clickseg segment`` with clicks."""
    study, output = runs.write_input(tmp_path / "plain", *clicks), tmp_path / "same"
    shutil.rmtree(output, ignore_errors=True)
    result = runs.run_clickseg("segment", study, "-o", output, "-m", models, SOURCE_DATE_EPOCH=CLOCK)
    assert result.returncode == 0, result.stderr
    return output.rename(tmp_path / uuid.uuid4().hex)


def count_voxels(folder: Path) -> int:
    seg = next(path for path in folder.glob("*.dcm") if dcmread(path, stop_before_pixels=True).Modality == "SEG")
    return int(hd.seg.segread(seg).pixel_array.sum())


def format_position(click: object) -> str:
    return ",".join(str(value) for value in click.position_mm)


def test_refine_writes_the_files_of_segment_with_the_same_clicks(tmp_path: Path, models: Path) -> None:
    first, second = runs.click(9, 11, 13), runs.click(3, 3, 4)
    open_session(tmp_path, models, first)

    output = refine(tmp_path, models, "--add", format_position(second), "--label", "hook", "--user", "ann")

    assert read_dicom_files(tmp_path / "refined") == read_dicom_files(segment(tmp_path, models, first, second))
    assert output.startswith("changed  ")
    assert "2 clicks" in output


def test_steps_can_be_undone_redone_removed_and_reset(tmp_path: Path, models: Path) -> None:
    open_session(tmp_path, models, runs.click(9, 11, 13))
    before = read_dicom_files(tmp_path / "out")
    refine(tmp_path, models, "--add", format_position(runs.click(3, 3, 4)), "--background")
    with_two = read_dicom_files(tmp_path / "refined")

    for arguments, expected in ((["--undo"], before), (["--redo"], with_two), (["--remove", 2], before)):
        refine(tmp_path, models, *arguments)
        assert read_dicom_files(tmp_path / "refined") == expected
    refine(tmp_path, models, "--reset")
    assert read_dicom_files(tmp_path / "refined") != before
    refine(tmp_path, models, "--undo")
    assert read_dicom_files(tmp_path / "refined") == before


def test_refine_without_a_step_writes_the_current_result(tmp_path: Path, models: Path) -> None:
    open_session(tmp_path, models, runs.click(9, 11, 13))

    output = refine(tmp_path, models)

    assert "changed" not in output
    assert read_dicom_files(tmp_path / "refined") == read_dicom_files(tmp_path / "out")


def test_the_session_log_names_user_action_and_time_but_not_the_patient(tmp_path: Path, models: Path) -> None:
    open_session(tmp_path, models)
    refine(tmp_path, models, "--add", format_position(runs.click(3, 3, 4)), "--user", "ann")

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
        (["--label", "hook"], 2, "--label and --background require --add"),
        (["--add", "9999,0,0"], 1, "is outside the series"),
        (["--add", "0,0,0", "--label", "nose"], 1, "unknown label 'nose'"),
        (["--remove", "7"], 1, "remove: expected a click number from 1 to 1, got 7"),
        (["--redo"], 1, "redo: no step was undone"),
        (["--undo", "--redo"], 2, "not allowed with argument"),
    ],
)
def test_an_invalid_step_is_one_error_line_and_does_not_change_the_session(
    tmp_path: Path, models: Path, arguments: list[str], code: int, message: str
) -> None:
    open_session(tmp_path, models, runs.click(9, 11, 13))
    record = (tmp_path / "s" / "session.json").read_bytes()

    output = refine(tmp_path, models, *arguments, code=code)

    assert message in output
    assert (tmp_path / "s" / "session.json").read_bytes() == record
    assert not (tmp_path / "refined").exists()


def test_a_folder_without_session_is_one_error(tmp_path: Path, models: Path) -> None:
    runs.write_input(tmp_path / "in")

    output = refine(tmp_path, models, "--undo", code=1)

    assert "expected a session, found no session.json" in output


def test_a_session_cannot_be_opened_twice(tmp_path: Path, models: Path) -> None:
    study = open_session(tmp_path, models, runs.click(9, 11, 13))

    result = runs.run_clickseg("segment", study, "-o", tmp_path / "o", "-m", models, "--session", tmp_path / "s")

    assert result.returncode == 1
    assert "already contains a session" in result.stderr
    assert "resume it with clickseg refine" in result.stderr


def test_a_session_has_exactly_one_series(tmp_path: Path, models: Path) -> None:
    runs.write_input(tmp_path / "in", name="one")
    phantoms.write(tmp_path / "in" / "other", phantoms.hook_volume(phantoms.oblique_geometry()), name="other")

    result = runs.run_clickseg(
        "segment", tmp_path / "in", "-o", tmp_path / "o", "-m", models, "--session", tmp_path / "s"
    )

    assert result.returncode == 2
    assert "expected one series to segment in a session, got 2" in result.stderr


def test_segment_and_refine_replay_the_clicks_of_a_model_with_a_previous_mask(tmp_path: Path) -> None:
    section = phantoms.metadata(
        grid={"spacing_mm": runs.GRID_SPACING_MM, "orientation": "RAS"},
        guidance=phantoms.GUIDANCE | {"previous_mask": [{"takes": ["hook"]}]},
    )
    weights = [[0, 0, 0, 0], [1, 100, -100, 0.8]]  # in the intersection of two click balls, the previous mask decides
    phantoms.write_linear_model(tmp_path / "models" / "refining", section, weights, bias=[0, 0])
    models = tmp_path / "models"
    first, second = runs.click(3, 3, 4), runs.click(3, 3, 6, polarity=Polarity.BACKGROUND)
    open_session(tmp_path, models, first)

    refine(tmp_path, models, "--add", format_position(second), "--background")

    in_order, other_order = (segment(tmp_path, models, *clicks) for clicks in ((first, second), (second, first)))
    assert read_dicom_files(tmp_path / "refined") == read_dicom_files(in_order)
    assert count_voxels(in_order) > count_voxels(other_order)
    refine(tmp_path, models, "--undo")
    assert read_dicom_files(tmp_path / "refined") == read_dicom_files(segment(tmp_path, models, first))


def test_only_a_session_may_begin_without_clicks_if_the_model_requires_them(tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models", guidance={**phantoms.GUIDANCE, "required": True})
    study = runs.write_input(tmp_path / "in")

    plain = runs.run_clickseg("segment", study, "-o", tmp_path / "plain", "-m", models)
    open_session(tmp_path, models)
    refine(tmp_path, models, "--add", format_position(runs.click(3, 3, 4)))
    clicked = read_dicom_files(tmp_path / "refined")
    refine(tmp_path, models, "--undo")

    assert plain.returncode == 1
    assert "error: model thresholder: expected a foreground click, got none" in plain.stderr
    assert not list((tmp_path / "plain").glob("*.dcm"))
    assert clicked == read_dicom_files(segment(tmp_path, models, runs.click(3, 3, 4)))
    for folder in ("out", "refined"):
        (entry,) = json.loads((tmp_path / folder / "report.json").read_text())["series"]
        assert entry["segments"] == []
