"""The application, run as each task plug-in runs it: with the command, environment and limits of deploy/.

``make container-test`` runs these tests with the image. Without it they run a process: paths of the definitions are
replaced by folders of the test, ``python3`` by this Python, and ``/opt/holoscan/app`` by ``app/`` of the checkout. The
input is read-only. If the tests run as root, the process runs as another user.
"""

from __future__ import annotations

import json

import pytest
from pydicom import dcmread

from tests.helpers import runs
from tests.helpers.plug_ins import Runner, container_specs


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "docker" else pytest.mark.slow) for name in container_specs()]
)
def test_a_study_gives_a_segmentation_and_a_report(runner: Runner, name: str) -> None:
    runner.receive_series("study")

    ended = runner.run(container_specs()[name])

    assert ended.returncode == 0, ended.stderr
    assert sorted(dcmread(path).Modality for path in runner.dicom_files()) == ["SEG", "SR"]
    metadata = runner.metadata()
    assert (metadata["status"], metadata["segments"], metadata["labels"]) == ("success", 1, "hook")
    assert {metadata["series_1_seg"], metadata["series_1_sr"]} == {path.name for path in runner.dicom_files()}
    assert all(not isinstance(value, list | dict) for value in metadata.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", container_specs())
def test_a_broken_study_is_reported_and_leaves_no_dicom(runner: Runner, name: str) -> None:
    series = runner.receive_series("study")
    sorted(series.glob("*.dcm"))[4].unlink()

    ended = runner.run(container_specs()[name])

    assert ended.returncode == 1
    assert runner.dicom_files() == []
    assert [path.name for path in runner.output.iterdir()] == ["metadata.json"]
    metadata = runner.metadata()
    assert (metadata["status"], metadata["exception"]) == ("failure", "SeriesError")
    assert metadata["exception_message"].startswith("1 missing slice in 1 place")


@pytest.mark.slow
@pytest.mark.parametrize("name", container_specs())
def test_a_broken_series_does_not_prevent_the_results_of_another(runner: Runner, name: str) -> None:
    runner.receive_series("good", "1")
    runner.receive_series("bad", "2", without="RescaleSlope")

    ended = runner.run(container_specs()[name])

    assert ended.returncode == 1  # the task fails if the plug-in checks the exit code; the files are in its output
    assert sorted(dcmread(path).Modality for path in runner.dicom_files()) == ["SEG", "SR"]
    metadata = runner.metadata()
    assert (metadata["status"], metadata["series"], metadata["series_failed"]) == ("partial", 2, 1)
    failed = next(key for key, value in metadata.items() if value == "failure")
    assert failed.endswith("_status")
    assert "RescaleSlope" in metadata[failed.replace("status", "exception_message")]
    assert "RescaleSlope" in metadata["exception_message"]


@pytest.mark.slow
def test_two_studies_in_one_folder_have_separate_results(runner: Runner) -> None:
    runner.receive_series("one", "1")
    runner.receive_series("two", "2")

    ended = runner.run(container_specs()["kubernetes"])

    assert ended.returncode == 0, ended.stderr
    studies = [dcmread(path).StudyInstanceUID for path in runner.dicom_files()]
    assert {studies.count(uid) for uid in studies} == {2}
    assert len(set(studies)) == 2


@pytest.mark.slow
def test_clicks_of_a_review_station_are_read_from_a_report_in_the_study(runner: Runner) -> None:
    """The report of a first run replaces that of a station: both contain seed points (OHIF: tests/clicks)."""
    study = runs.write_input(runner.root / "clicked", runs.click(9, 11, 13), name="study")
    first = runs.run_clickseg("segment", study, "-o", runner.root / "first", "-m", runner.models)
    assert first.returncode == 0, first.stderr
    (report,) = (path for path in (runner.root / "first").glob("*.dcm") if dcmread(path).Modality == "SR")
    series = runner.receive_series("study")
    (series / report.name).write_bytes(report.read_bytes())

    ended = runner.run(container_specs()["docker"])

    assert ended.returncode == 0, ended.stderr
    (entry,) = json.loads((runner.output / "report.json").read_text())["series"]
    assert (entry["clicks"]["source"], entry["clicks"]["foreground"]) == (f"1/{report.name}", 1)
    segmentation = next(path for path in runner.dicom_files() if dcmread(path).Modality == "SEG")
    assert dcmread(segmentation).SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


@pytest.mark.slow
def test_a_run_at_the_time_limit_of_the_docker_definition_reports_the_interruption(runner: Runner) -> None:
    runs.write_slow_model(runner.models)
    runner.receive_series("study")

    ended = runner.run_until_timeout(container_specs()["docker"])

    assert ended.returncode == 124  # the exit code of timeout(1)
    assert runner.dicom_files() == []
    assert runner.metadata()["exception"] == "Interrupted"


@pytest.mark.slow
def test_a_study_that_does_not_fit_in_memory_is_rejected_before_the_run(runner: Runner) -> None:
    runner.receive_series("study")

    ended = runner.run(container_specs()["docker"], CLICKSEG_MEMORY_LIMIT="1M")

    assert ended.returncode == 1
    assert runner.dicom_files() == []
    assert runner.metadata()["exception"] == "MemoryLimitError"
    assert runner.metadata()["exception_message"].startswith("memory: expected at least")


@pytest.mark.slow
def test_a_missing_input_folder_is_reported(runner: Runner) -> None:
    """If the payload is empty, the docker plug-in mounts no input folder."""
    runner.input.mkdir()

    ended = runner.run(container_specs()["docker"], HOLOSCAN_INPUT_PATH="/var/holoscan/nothing")

    assert ended.returncode == 1
    assert runner.metadata()["exception"] == "InputError"
