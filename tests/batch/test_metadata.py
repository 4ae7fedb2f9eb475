"""metadata.json is what a workflow engine is told of a run: flat, whole, and without the patient."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from clickseg.batch.metadata import may_replace, run_metadata, with_error
from clickseg.batch.plan import make_plan
from clickseg.batch.settings import read_settings
from clickseg.batch.steps import Inference, load_cases, postprocess_case, preprocess_case
from clickseg.batch.writer import ResultWriter
from clickseg.core.errors import InputError
from clickseg.core.progress import no_progress
from tests.helpers import runs

FAR = runs.click(9, 11, 13)
APP = ("python", runs.REPOSITORY / "app")


def entry(uid: str, *volumes: tuple[str, float], seg: bool = True) -> dict[str, Any]:
    files = {"sr": f"sr-{uid}.dcm", "preview": "p.png"} | ({"seg": f"seg-{uid}.dcm"} if seg else {})
    segments = [{"label": label, "volume_ml": volume} for label, volume in volumes]
    return {"series_instance_uid": uid, "modality": "PT", "files": files, "segments": segments}


FAILED = {"series_instance_uid": "1.9", "modality": "PT", "error": "PixelSpacing (0028,0030) is missing"}


def metadata_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
    return found


def test_a_run_of_two_series_names_files_classes_and_volumes() -> None:
    metadata = run_metadata([entry("1.1", ("lesion", 3.5), ("lymph node", 1.25)), entry("1.2", ("lesion", 2.0))])

    assert metadata["status"] == "success"
    assert (metadata["series"], metadata["series_failed"], metadata["segments"]) == (2, 0, 3)
    assert (metadata["volume_ml"], metadata["volume_ml_lesion"], metadata["volume_ml_lymph_node"]) == (6.75, 5.5, 1.25)
    assert metadata["labels"] == "lesion, lymph node"
    assert (metadata["series_1_seg"], metadata["series_2_sr"]) == ("seg-1.1.dcm", "sr-1.2.dcm")
    assert metadata["series_1_volume_ml_lesion"] == 3.5


def test_nothing_found_is_a_success_without_a_segmentation() -> None:
    metadata = run_metadata([entry("1.1", seg=False)])

    assert (metadata["status"], metadata["segments"], metadata["volume_ml"]) == ("success", 0, 0)
    assert "series_1_seg" not in metadata
    assert metadata["series_1_sr"] == "sr-1.1.dcm"


def test_a_failed_series_makes_a_run_partial_and_says_why() -> None:
    metadata = run_metadata([entry("1.1", ("lesion", 3.5)), FAILED])

    assert (metadata["status"], metadata["series_failed"]) == ("partial", 1)
    assert (metadata["series_1_status"], metadata["series_2_status"]) == ("success", "failure")
    assert metadata["series_2_exception_message"] == FAILED["error"]


def test_a_run_of_which_every_series_failed_is_a_failure() -> None:
    assert run_metadata([FAILED, FAILED])["status"] == "failure"


def test_all_values_are_plain_and_all_keys_can_stand_in_a_condition() -> None:
    odd = entry("1.2.3", ("left lung. (upper/lobe) §", 1.0))
    metadata = with_error(InputError("no"), run_metadata([odd, FAILED]))

    assert all(type(value) in (str, int, float) for value in metadata.values())
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", key) for key in metadata)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"clickseg": "0.1.0", "status": "success"}', True),
        ('{"exception": "InputError", "exception_message": "no"}', True),
        ('{"mine": 1}', False),
        ("[]", False),
        ("{", False),
    ],
)
def test_only_what_a_run_left_is_replaced(tmp_path: Path, content: str, expected: bool) -> None:
    (tmp_path / "metadata.json").write_text(content)

    assert may_replace(tmp_path) is expected


@pytest.mark.parametrize("door", [("segment",), pytest.param(APP, marks=pytest.mark.slow)])
def test_a_run_leaves_metadata_beside_its_results(tmp_path: Path, door: tuple[object, ...]) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")
    words = (study, "-o", tmp_path / "out", "-m", models)
    environ = {"CLICKSEG_METADATA": "1"}

    ended = runs.clickseg(*door, *words, **environ) if door != APP else runs.process([*APP, "-i", *words], **environ)

    assert ended.returncode == 0, ended.stderr
    metadata = metadata_in(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())["series"][0]
    assert metadata["status"] == "success"
    assert {metadata["series_1_seg"], metadata["series_1_sr"]} == {p.name for p in (tmp_path / "out").glob("*.dcm")}
    assert metadata["volume_ml_hook"] == report["segments"][0]["volume_ml"]
    assert metadata["series_1_uid"] == report["series_instance_uid"]


def test_without_being_asked_no_run_leaves_metadata(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")

    assert runs.clickseg("segment", study, "-o", tmp_path / "out", "-m", models).returncode == 0
    assert not (tmp_path / "out" / "metadata.json").exists()


def test_metadata_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")
    (tmp_path / "out" / "metadata.json").mkdir(parents=True)

    ended = runs.clickseg("segment", tmp_path / "nowhere", "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: metadata.json cannot be written: Is a directory"
    assert study.is_dir()


@pytest.mark.slow
def test_an_input_that_a_workflow_did_not_mount_is_told_to_it(tmp_path: Path) -> None:
    environ = {"HOLOSCAN_INPUT_PATH": str(tmp_path / "nowhere"), "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "out")}

    ended = runs.process(APP, tmp_path, CLICKSEG_METADATA="1", **environ)

    assert ended.returncode == 1
    assert metadata_in(tmp_path / "out")["exception"] == "InputError"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata.json"]


def test_no_dicom_file_is_to_be_seen_before_the_last_series_is_done(tmp_path: Path) -> None:
    """A workflow engine that kills a container takes all files that end in .dcm, hidden ones too."""
    study, output = runs.write_input(tmp_path / "in", name="first"), tmp_path / "out"
    runs.write_input(study / "more", name="second")
    models = runs.write_model(tmp_path / "models")
    settings = read_settings(study, output, models, {}, {"CLICKSEG_CACHE": str(tmp_path / "cache")})
    plan = make_plan(settings)
    infer, cases = Inference(settings.runtime, no_progress), load_cases(plan)

    with ResultWriter(plan, settings) as writer:
        writer.write(postprocess_case(infer(preprocess_case(next(cases))), settings))
        staged = [path.name for path in output.rglob("*") if path.is_file()]
        writer.write(postprocess_case(infer(preprocess_case(next(cases))), settings))

    assert sum(".dcm" in name for name in staged) == 2
    assert not any(name.endswith(".dcm") for name in staged)
    assert len(list(output.glob("*.dcm"))) == 4


@pytest.mark.parametrize("door", [("-m", "clickseg", "segment"), pytest.param((APP[1], "-i"), marks=pytest.mark.slow)])
def test_a_run_that_is_killed_has_told_the_workflow_before(tmp_path: Path, door: tuple[object, ...]) -> None:
    study, output = runs.write_input(tmp_path / "in"), tmp_path / "out"
    models = runs.write_slow_model(tmp_path / "models")

    run = runs.started([sys.executable, *door, study, "-o", output, "-m", models], CLICKSEG_METADATA="1")
    runs.wait_until_it_runs(output)
    run.kill()
    run.communicate(timeout=runs.HANG_S)

    metadata = metadata_in(output)
    assert (metadata["status"], metadata["exception"]) == ("failure", "Killed")
    assert not any(path.suffix == ".dcm" for path in output.rglob("*"))


def test_metadata_that_is_not_ours_is_not_written_over_when_a_run_begins(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.json").write_text("{}")

    ended = runs.clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")

    assert ended.returncode == 0
    assert (tmp_path / "out" / "metadata.json").read_text() == "{}"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_tells_the_workflow_why(tmp_path: Path, number: signal.Signals) -> None:
    study, output = runs.write_input(tmp_path / "in"), tmp_path / "out"
    models = runs.write_slow_model(tmp_path / "models")
    environ = {"HOLOSCAN_INPUT_PATH": study, "HOLOSCAN_OUTPUT_PATH": output, "HOLOSCAN_MODEL_PATH": models}

    run = runs.started([sys.executable, *APP[1:]], CLICKSEG_METADATA="1", **{k: str(v) for k, v in environ.items()})
    runs.wait_until_it_runs(output)
    run.send_signal(number)
    run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert [path.name for path in output.iterdir()] == ["metadata.json"]
    metadata = metadata_in(output)
    assert (metadata["status"], metadata["exception"]) == ("failure", "Interrupted")
    assert metadata["exception_message"] == "interrupted"
