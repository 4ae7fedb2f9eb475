"""The application, run as each task plug-in would run it: command, environment and limits are those of deploy/.

``make container-test`` runs these tests with the image, all else without a container: the folders of the definitions
stand for folders of the test, ``python3`` for this Python, and ``/opt/holoscan/app`` for the checkout's. The input is
read-only, and as root the process is another user's.
"""

from __future__ import annotations

import json

import pytest
from pydicom import dcmread

from tests.helpers import runs
from tests.helpers.plug_ins import Machine, plug_ins


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "docker" else pytest.mark.slow) for name in plug_ins()]
)
def test_a_study_gives_a_segmentation_and_a_report(machine: Machine, name: str) -> None:
    machine.receive("study")

    ended = machine.run(plug_ins()[name])

    assert ended.returncode == 0, ended.stderr
    assert sorted(dcmread(path).Modality for path in machine.exported()) == ["SEG", "SR"]
    metadata = machine.metadata()
    assert (metadata["status"], metadata["segments"], metadata["labels"]) == ("success", 1, "hook")
    assert {metadata["series_1_seg"], metadata["series_1_sr"]} == {path.name for path in machine.exported()}
    assert all(not isinstance(value, list | dict) for value in metadata.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", plug_ins())
def test_a_broken_study_exports_nothing_and_says_why(machine: Machine, name: str) -> None:
    series = machine.receive("study")
    sorted(series.glob("*.dcm"))[4].unlink()

    ended = machine.run(plug_ins()[name])

    assert ended.returncode == 1
    assert machine.exported() == []
    assert [path.name for path in machine.output.iterdir()] == ["metadata.json"]
    metadata = machine.metadata()
    assert (metadata["status"], metadata["exception"]) == ("failure", "SeriesError")
    assert metadata["exception_message"].startswith("1 missing slice in 1 place")


@pytest.mark.slow
@pytest.mark.parametrize("name", plug_ins())
def test_of_two_series_a_broken_one_leaves_the_other_its_results(machine: Machine, name: str) -> None:
    machine.receive("good", "1")
    machine.receive("bad", "2", without="RescaleSlope")

    ended = machine.run(plug_ins()[name])

    assert ended.returncode == 1  # a plug-in that heeds it lets the task fail, and the files lie in its output
    assert sorted(dcmread(path).Modality for path in machine.exported()) == ["SEG", "SR"]
    metadata = machine.metadata()
    assert (metadata["status"], metadata["series"], metadata["series_failed"]) == ("partial", 2, 1)
    failed = next(key for key, value in metadata.items() if value == "failure")
    assert failed.endswith("_status")
    assert "RescaleSlope" in metadata[failed.replace("status", "exception_message")]
    assert "RescaleSlope" in metadata["exception_message"]


@pytest.mark.slow
def test_two_studies_in_one_folder_have_each_its_own_result(machine: Machine) -> None:
    machine.receive("one", "1")
    machine.receive("two", "2")

    ended = machine.run(plug_ins()["kubernetes"])

    assert ended.returncode == 0, ended.stderr
    studies = [dcmread(path).StudyInstanceUID for path in machine.exported()]
    assert {studies.count(uid) for uid in studies} == {2}
    assert len(set(studies)) == 2


@pytest.mark.slow
def test_clicks_of_a_review_station_come_as_a_report_in_the_same_study(machine: Machine) -> None:
    """What a first run wrote stands for a station's report: both hold seed points (tests/clicks has those of OHIF)."""
    clicked = runs.write_input(machine.root / "clicked", runs.click(9, 11, 13), name="study")
    first = runs.clickseg("segment", clicked, "-o", machine.root / "first", "-m", machine.models)
    assert first.returncode == 0, first.stderr
    (report,) = (path for path in (machine.root / "first").glob("*.dcm") if dcmread(path).Modality == "SR")
    series = machine.receive("study")
    (series / report.name).write_bytes(report.read_bytes())

    ended = machine.run(plug_ins()["docker"])

    assert ended.returncode == 0, ended.stderr
    (entry,) = json.loads((machine.output / "report.json").read_text())["series"]
    assert (entry["clicks"]["source"], entry["clicks"]["foreground"]) == (f"1/{report.name}", 1)
    segmentation = next(path for path in machine.exported() if dcmread(path).Modality == "SEG")
    assert dcmread(segmentation).SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


@pytest.mark.slow
def test_the_time_limit_of_the_docker_definition_ends_a_run_that_can_still_say_so(machine: Machine) -> None:
    runs.write_slow_model(machine.models)
    machine.receive("study")

    ended = machine.run_past_its_time(plug_ins()["docker"])

    assert ended.returncode == 124  # of timeout(1)
    assert machine.exported() == []
    assert machine.metadata()["exception"] == "Interrupted"


@pytest.mark.slow
def test_a_study_that_does_not_fit_into_memory_is_refused_before_it_starts(machine: Machine) -> None:
    machine.receive("study")

    ended = machine.run(plug_ins()["docker"], CLICKSEG_MEMORY_LIMIT="1M")

    assert ended.returncode == 1
    assert machine.exported() == []
    assert machine.metadata()["exception"] == "MemoryLimitError"
    assert machine.metadata()["exception_message"].startswith("memory: expected at least")


@pytest.mark.slow
def test_an_input_that_is_not_there_is_said(machine: Machine) -> None:
    """The docker plug-in mounts nothing where the payload is empty."""
    machine.input.mkdir()

    ended = machine.run(plug_ins()["docker"], HOLOSCAN_INPUT_PATH="/var/holoscan/nothing")

    assert ended.returncode == 1
    assert machine.metadata()["exception"] == "InputError"
