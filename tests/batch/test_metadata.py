"""metadata.json describes a run for a workflow engine: flat, complete, and without patient data."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from clickseg.batch.metadata import add_error, can_replace_metadata, run_metadata
from clickseg.batch.plan import make_plan
from clickseg.batch.settings import read_settings
from clickseg.batch.steps import InferenceStep, load_cases, postprocess_case, preprocess_case
from clickseg.batch.writer import ResultWriter
from clickseg.core.errors import InputError
from clickseg.core.progress import no_progress
from tests.helpers import runs

FAR = runs.click(9, 11, 13)
APP = ("python", runs.REPOSITORY / "app")


def report_entry(uid: str, *volumes: tuple[str, float], seg: bool = True) -> dict[str, Any]:
    files = {"sr": f"sr-{uid}.dcm", "preview": "p.png"} | ({"seg": f"seg-{uid}.dcm"} if seg else {})
    segments = [{"label": label, "volume_ml": volume} for label, volume in volumes]
    return {"series_instance_uid": uid, "modality": "PT", "files": files, "segments": segments}


FAILED = {"series_instance_uid": "1.9", "modality": "PT", "error": "PixelSpacing (0028,0030) is missing"}


def read_metadata(folder: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
    return metadata


def test_metadata_of_two_series_contains_files_classes_and_volumes() -> None:
    metadata = run_metadata(
        [report_entry("1.1", ("lesion", 3.5), ("lymph node", 1.25)), report_entry("1.2", ("lesion", 2.0))]
    )

    assert metadata["status"] == "success"
    assert (metadata["series"], metadata["series_failed"], metadata["segments"]) == (2, 0, 3)
    assert (metadata["volume_ml"], metadata["volume_ml_lesion"], metadata["volume_ml_lymph_node"]) == (6.75, 5.5, 1.25)
    assert metadata["labels"] == "lesion, lymph node"
    assert (metadata["series_1_seg"], metadata["series_2_sr"]) == ("seg-1.1.dcm", "sr-1.2.dcm")
    assert metadata["series_1_volume_ml_lesion"] == 3.5


def test_an_empty_result_is_a_success_without_a_segmentation() -> None:
    metadata = run_metadata([report_entry("1.1", seg=False)])

    assert (metadata["status"], metadata["segments"], metadata["volume_ml"]) == ("success", 0, 0)
    assert "series_1_seg" not in metadata
    assert metadata["series_1_sr"] == "sr-1.1.dcm"


def test_a_failed_series_makes_the_status_partial_with_a_reason() -> None:
    metadata = run_metadata([report_entry("1.1", ("lesion", 3.5)), FAILED])

    assert (metadata["status"], metadata["series_failed"]) == ("partial", 1)
    assert (metadata["series_1_status"], metadata["series_2_status"]) == ("success", "failure")
    assert metadata["series_2_exception_message"] == FAILED["error"]


def test_the_status_is_failure_if_every_series_failed() -> None:
    assert run_metadata([FAILED, FAILED])["status"] == "failure"


def test_all_values_are_plain_and_all_keys_can_be_used_in_a_condition() -> None:
    unusual = report_entry("1.2.3", ("left lung. (upper/lobe) §", 1.0))
    metadata = add_error(InputError("no"), run_metadata([unusual, FAILED]))

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
def test_only_metadata_of_clickseg_is_replaced(tmp_path: Path, content: str, expected: bool) -> None:
    (tmp_path / "metadata.json").write_text(content)

    assert can_replace_metadata(tmp_path) is expected


@pytest.mark.parametrize("entry_point", [("segment",), pytest.param(APP, marks=pytest.mark.slow)])
def test_a_run_writes_metadata_next_to_its_results(tmp_path: Path, entry_point: tuple[object, ...]) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")
    arguments = (study, "-o", tmp_path / "out", "-m", models)
    environ = {"CLICKSEG_METADATA": "1"}

    ended = (
        runs.run_clickseg(*entry_point, *arguments, **environ)
        if entry_point != APP
        else runs.run_process([*APP, "-i", *arguments], **environ)
    )

    assert ended.returncode == 0, ended.stderr
    metadata = read_metadata(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())["series"][0]
    assert metadata["status"] == "success"
    assert {metadata["series_1_seg"], metadata["series_1_sr"]} == {p.name for p in (tmp_path / "out").glob("*.dcm")}
    assert metadata["volume_ml_hook"] == report["segments"][0]["volume_ml"]
    assert metadata["series_1_uid"] == report["series_instance_uid"]


def test_metadata_is_written_only_on_request(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")

    assert runs.run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models).returncode == 0
    assert not (tmp_path / "out" / "metadata.json").exists()


def test_metadata_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")
    (tmp_path / "out" / "metadata.json").mkdir(parents=True)

    ended = runs.run_clickseg(
        "segment", tmp_path / "nowhere", "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1"
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: metadata.json: cannot be written: Is a directory"
    assert study.is_dir()


@pytest.mark.slow
def test_a_missing_input_folder_is_reported_to_the_workflow(tmp_path: Path) -> None:
    environ = {"HOLOSCAN_INPUT_PATH": str(tmp_path / "nowhere"), "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "out")}

    ended = runs.run_process(APP, tmp_path, CLICKSEG_METADATA="1", **environ)

    assert ended.returncode == 1
    assert read_metadata(tmp_path / "out")["exception"] == "InputError"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata.json"]


def test_no_dicom_file_exists_before_the_last_series_is_done(tmp_path: Path) -> None:
    """A workflow engine that kills a container takes all files whose names end in .dcm, including hidden files."""
    study, output = runs.write_input(tmp_path / "in", name="first"), tmp_path / "out"
    runs.write_input(study / "more", name="second")
    models = runs.write_model(tmp_path / "models")
    settings = read_settings(study, output, models, {}, {"CLICKSEG_CACHE": str(tmp_path / "cache")})
    plan = make_plan(settings)
    infer, cases = InferenceStep(settings.runtime, no_progress), load_cases(plan)

    with ResultWriter(plan, settings) as writer:
        writer.write(postprocess_case(infer(preprocess_case(next(cases))), settings))
        staged = [path.name for path in output.rglob("*") if path.is_file()]
        writer.write(postprocess_case(infer(preprocess_case(next(cases))), settings))

    assert sum(".dcm" in name for name in staged) == 2
    assert not any(name.endswith(".dcm") for name in staged)
    assert len(list(output.glob("*.dcm"))) == 4


@pytest.mark.parametrize(
    "entry_point", [("-m", "clickseg", "segment"), pytest.param((APP[1], "-i"), marks=pytest.mark.slow)]
)
def test_a_killed_run_was_reported_to_the_workflow_beforehand(tmp_path: Path, entry_point: tuple[object, ...]) -> None:
    study, output = runs.write_input(tmp_path / "in"), tmp_path / "out"
    models = runs.write_slow_model(tmp_path / "models")

    run = runs.start_process([sys.executable, *entry_point, study, "-o", output, "-m", models], CLICKSEG_METADATA="1")
    runs.wait_until_running(output)
    run.kill()
    run.communicate(timeout=runs.HANG_S)

    metadata = read_metadata(output)
    assert (metadata["status"], metadata["exception"]) == ("failure", "Killed")
    assert not any(path.suffix == ".dcm" for path in output.rglob("*"))


def test_metadata_of_another_program_is_not_overwritten(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in", FAR), runs.write_model(tmp_path / "models")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.json").write_text("{}")

    ended = runs.run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")

    assert ended.returncode == 0
    assert (tmp_path / "out" / "metadata.json").read_text() == "{}"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_run_reports_the_reason_to_the_workflow(tmp_path: Path, number: signal.Signals) -> None:
    study, output = runs.write_input(tmp_path / "in"), tmp_path / "out"
    models = runs.write_slow_model(tmp_path / "models")
    environ = {"HOLOSCAN_INPUT_PATH": study, "HOLOSCAN_OUTPUT_PATH": output, "HOLOSCAN_MODEL_PATH": models}

    run = runs.start_process(
        [sys.executable, *APP[1:]], CLICKSEG_METADATA="1", **{k: str(v) for k, v in environ.items()}
    )
    runs.wait_until_running(output)
    run.send_signal(number)
    run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert [path.name for path in output.iterdir()] == ["metadata.json"]
    metadata = read_metadata(output)
    assert (metadata["status"], metadata["exception"]) == ("failure", "Interrupted")
    assert metadata["exception_message"] == "interrupted"
