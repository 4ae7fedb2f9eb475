"""Images that are built once for all tests of this folder; only ``make container-test`` runs these tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import images, runs

if not images.CONTAINER_TESTS_ENABLED:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def cpu_image() -> str:
    return images.cpu_image()


@pytest.fixture(scope="session")
def gpu_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image like NVIDIA's: torch is a system package, and constraints prevent pip from replacing it."""
    folder = tmp_path_factory.mktemp("base")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "packages"]
    subprocess.run([*install, "torch==2.13.0", "numpy==2.4.6"], check=True)
    return images.build_base_image(folder, images.GPU_BASE_TAG, ["torch==2.13.0", "numpy==2.4.6"])


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom's PET/CT study, with clicks."""
    folder = tmp_path_factory.mktemp("demo")
    assert runs.run_clickseg("demo", "--study-only", "-o", folder).returncode == 0
    return folder / "study"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that any user can write to."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    images.make_readable_by_all(tmp_path)
    return folder
