"""Stopped and killed containers of the image ``cpu``; tests/deploy tests the expectations of each task plug-in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.containers import NAME, ContainerRunner, run_docker
from tests.helpers.plug_ins import container_specs


@pytest.fixture
def runner(cpu_image: str) -> Iterator[ContainerRunner]:
    """A runner with folders that all users can read; folders of pytest are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        runner = ContainerRunner(Path(name), cpu_image)
        runs.write_model(runner.models)
        yield runner


@pytest.mark.parametrize("name", [name for name, spec in container_specs().items() if spec.grace_s is not None])
def test_a_pod_at_its_time_limit_leaves_metadata_and_no_dicom(runner: ContainerRunner, name: str) -> None:
    """At activeDeadlineSeconds a kubelet acts like ``docker stop``: SIGTERM, and SIGKILL after the grace period."""
    spec = container_specs()[name]
    runs.write_slow_model(runner.models)
    runner.receive_series("study")

    with runner.start(spec) as run:
        run_docker("stop", "--time", spec.grace_s, NAME)
        _, errors = run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert runner.dicom_files() == []
    assert runner.metadata()["exception"] == "Interrupted"


def test_a_container_that_the_docker_plug_in_kills_leaves_metadata_and_no_dicom(runner: ContainerRunner) -> None:
    """At task_timeout_minutes the plug-in sends SIGKILL at once, and exports the files that it finds."""
    runs.write_slow_model(runner.models)
    runner.receive_series("study")

    with runner.start(container_specs()["docker"]) as run:
        run_docker("kill", NAME)
        run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 137
    assert runner.dicom_files() == []
    assert runner.metadata()["exception"] == "Killed"
