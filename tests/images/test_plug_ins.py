"""The image ``cpu`` as each task plug-in runs it: the tests of tests/deploy, with containers for processes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core.test_interruption import wait_until_it_runs, write_slow_model
from tests.deploy.test_plug_ins import (
    test_a_broken_study_exports_nothing_and_says_why,
    test_a_study_gives_a_segmentation_and_a_report,
    test_a_study_that_does_not_fit_into_memory_is_refused_before_it_starts,
    test_an_input_that_is_not_there_is_said,
    test_clicks_of_a_review_station_come_as_a_report_in_the_same_study,
    test_of_two_series_a_broken_one_leaves_the_other_its_results,
    test_the_time_limit_of_the_docker_definition_ends_a_run_that_can_still_say_so,
    test_two_studies_in_one_folder_have_each_its_own_result,
)
from tests.helpers import runs
from tests.helpers.containers import Container, docker
from tests.helpers.plug_ins import plug_ins

__all__ = [
    "test_a_broken_study_exports_nothing_and_says_why",
    "test_a_study_gives_a_segmentation_and_a_report",
    "test_a_study_that_does_not_fit_into_memory_is_refused_before_it_starts",
    "test_an_input_that_is_not_there_is_said",
    "test_clicks_of_a_review_station_come_as_a_report_in_the_same_study",
    "test_of_two_series_a_broken_one_leaves_the_other_its_results",
    "test_the_time_limit_of_the_docker_definition_ends_a_run_that_can_still_say_so",
    "test_two_studies_in_one_folder_have_each_its_own_result",
]

NAME = "clickseg-test-plug-in"


@pytest.fixture
def machine(cpu_image: str) -> Iterator[Container]:
    """Folders that every user may reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        made = Container(Path(name), cpu_image)
        runs.write_model(made.models)
        yield made


@contextmanager
def started(machine: Container, name: str) -> Iterator[subprocess.Popen[str]]:
    """A container in the midst of its windows."""
    words = machine.words(plug_ins()[name], "--name", NAME)
    with subprocess.Popen(["docker", *map(str, words)], stderr=subprocess.PIPE, text=True) as run:  # noqa: S607
        try:
            wait_until_it_runs(machine.output)
            yield run
        finally:
            docker("rm", "--force", NAME)


@pytest.mark.parametrize("name", [name for name, each in plug_ins().items() if each.grace_s is not None])
def test_a_pod_at_its_time_limit_leaves_the_note_and_no_dicom(machine: Container, name: str) -> None:
    """At activeDeadlineSeconds a kubelet does what ``docker stop`` does: SIGTERM, and SIGKILL after the grace."""
    plug_in = plug_ins()[name]
    write_slow_model(machine.models)
    machine.receive("study")
    machine.prepare()

    with started(machine, name) as run:
        docker("stop", "--time", plug_in.grace_s, NAME)
        _, errors = run.communicate(timeout=60)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert machine.exported() == []
    assert machine.metadata()["exception"] == "Interrupted"


def test_what_the_docker_plug_in_kills_has_left_the_note_and_no_dicom(machine: Container) -> None:
    """At task_timeout_minutes it sends SIGKILL at once, and takes what it finds."""
    write_slow_model(machine.models)
    machine.receive("study")
    machine.prepare()

    with started(machine, "docker") as run:
        docker("kill", NAME)
        run.communicate(timeout=60)

    assert run.returncode == 137
    assert machine.exported() == []
    assert machine.metadata()["exception"] == "Killed"
