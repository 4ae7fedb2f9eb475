"""The application as a process of this checkout; with ``make container-test`` as a container of the image ``cpu``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import images, runs
from tests.helpers.containers import ContainerRunner, run_arguments, run_docker
from tests.helpers.plug_ins import Application, ProcessRunner, Runner


@pytest.fixture
def runner() -> Iterator[Runner]:
    """A runner with folders that all users can read; folders of pytest are private."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        runner = ContainerRunner(root, images.cpu_image()) if images.CONTAINER_TESTS_ENABLED else ProcessRunner(root)
        runs.write_model(runner.models)
        yield runner


@pytest.fixture
def application(tmp_path: Path) -> Application:
    models = runs.write_model(tmp_path / "models")
    return image_application(models, tmp_path) if images.CONTAINER_TESTS_ENABLED else checkout_application(models)


def checkout_application(models: Path) -> Application:
    """Returns the application of this checkout, in a new process."""

    def run(study: Path, output: Path) -> int:
        command = ("python", runs.REPOSITORY / "app", "-i", study, "-o", output, "-m", models)
        return runs.run_process(command, CLICKSEG_METADATA="1").returncode

    return run


def image_application(models: Path, folder: Path) -> Application:
    """Returns the application of the image ``cpu``, in a container."""
    images.make_readable_by_all(folder)

    def run(study: Path, output: Path) -> int:
        output.mkdir()
        output.chmod(0o777)
        mount = f"{models}:/opt/holoscan/models:ro"
        return run_docker(*run_arguments(images.cpu_image(), study, output, "-v", mount)).returncode

    return run
