"""The application as a process of this checkout; ``make container-test`` has the image ``cpu`` in its place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import images, runs
from tests.helpers.containers import Container, command, docker
from tests.helpers.plug_ins import Application, Machine, Process


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Folders that every user may reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        made = Container(root, images.cpu_image()) if images.ARE_TESTED else Process(root)
        runs.write_model(made.models)
        yield made


@pytest.fixture
def application(tmp_path: Path) -> Application:
    models = runs.write_model(tmp_path / "models")
    return image(models, tmp_path) if images.ARE_TESTED else checkout(models)


def checkout(models: Path) -> Application:
    """The application of this checkout, in a process of its own."""

    def run(study: Path, output: Path) -> int:
        words = ("python", runs.REPOSITORY / "app", "-i", study, "-o", output, "-m", models)
        return runs.process(words, CLICKSEG_METADATA="1").returncode

    return run


def image(models: Path, folder: Path) -> Application:
    """The application of the image ``cpu``, in a container."""
    images.open_to_all(folder)

    def run(study: Path, output: Path) -> int:
        output.mkdir()
        output.chmod(0o777)
        mount = f"{models}:/opt/holoscan/models:ro"
        return docker(*command(images.cpu_image(), study, output, "-v", mount)).returncode

    return run
