"""Ends of the image ``cpu`` that only a container has; tests/deploy holds what each task plug-in expects of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.containers import NAME, Container, docker
from tests.helpers.plug_ins import plug_ins


@pytest.fixture
def machine(cpu_image: str) -> Iterator[Container]:
    """Folders that every user may reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        made = Container(Path(name), cpu_image)
        runs.write_model(made.models)
        yield made


@pytest.mark.parametrize("name", [name for name, each in plug_ins().items() if each.grace_s is not None])
def test_a_pod_at_its_time_limit_leaves_the_note_and_no_dicom(machine: Container, name: str) -> None:
    """At activeDeadlineSeconds a kubelet does what ``docker stop`` does: SIGTERM, and SIGKILL after the grace."""
    plug_in = plug_ins()[name]
    runs.write_slow_model(machine.models)
    machine.receive("study")

    with machine.started(plug_in) as run:
        docker("stop", "--time", plug_in.grace_s, NAME)
        _, errors = run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert machine.exported() == []
    assert machine.metadata()["exception"] == "Interrupted"


def test_what_the_docker_plug_in_kills_has_left_the_note_and_no_dicom(machine: Container) -> None:
    """At task_timeout_minutes it sends SIGKILL at once, and takes what it finds."""
    runs.write_slow_model(machine.models)
    machine.receive("study")

    with machine.started(plug_ins()["docker"]) as run:
        docker("kill", NAME)
        run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 137
    assert machine.exported() == []
    assert machine.metadata()["exception"] == "Killed"
