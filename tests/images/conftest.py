"""Images that are built once for all tests here; only ``make container-test`` runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.runs import REPOSITORY

if "CLICKSEG_CONTAINER_TEST" not in os.environ:
    collect_ignore_glob = ["test_*.py"]

CPU, GPU, GPU_BASE = "clickseg-test/cpu:1", "clickseg-test/gpu:1", "clickseg-test/torch-base:1"


def package(tag: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Runs ``clickseg package`` as a user does, with the wheels that were downloaded."""
    wheels = os.environ["CLICKSEG_TEST_WHEELS"]
    return runs.clickseg("package", "-t", tag, "--wheels", wheels, "--network", "host", *words, cwd=REPOSITORY)


@pytest.fixture(scope="session")
def cpu_image() -> str:
    """The image ``cpu``; ``CLICKSEG_TEST_CPU_IMAGE`` names one that is there."""
    if "CLICKSEG_TEST_CPU_IMAGE" in os.environ:
        return os.environ["CLICKSEG_TEST_CPU_IMAGE"]
    ended = package(CPU, "-b", os.environ["CLICKSEG_TEST_BASE"])
    assert ended.returncode == 0, ended.stderr[-3000:]
    return CPU


@pytest.fixture(scope="session")
def gpu_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base as NVIDIA's: torch among the system's packages, and a pip that may not touch it."""
    folder = tmp_path_factory.mktemp("base")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "packages"]
    subprocess.run([*install, "torch==2.13.0", "numpy==2.4.6"], check=True)
    return make_base(folder, GPU_BASE, ["torch==2.13.0", "numpy==2.4.6"])


def make_base(folder: Path, tag: str, constraints: Sequence[str]) -> str:
    """Makes an image with the Python packages in a folder, and with constraints for pip."""
    (folder / "constraint.txt").write_text("\n".join(constraints))
    (folder / "Dockerfile").write_text(
        f"FROM {os.environ['CLICKSEG_TEST_BASE']}\n"
        "RUN command -v python3 || (apt-get update -qq && apt-get install -y -qq --no-install-recommends python3)\n"
        "COPY packages /opt/base\n"
        "RUN echo /opt/base > \"$(python3 -c 'import site; print(site.getsitepackages()[0])')/base.pth\"\n"
        "COPY constraint.txt /etc/pip/constraint.txt\n"
        "ENV PIP_CONSTRAINT=/etc/pip/constraint.txt\n"
    )
    subprocess.run(["docker", "build", "--quiet", "--network", "host", "-t", tag, folder], check=True)  # noqa: S607
    return tag


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom's PET/CT study, with clicks."""
    folder = tmp_path_factory.mktemp("demo")
    assert runs.clickseg("demo", "--study-only", "-o", folder).returncode == 0
    return folder / "study"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that any user may write to."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    open_to_all(tmp_path)
    return folder


def open_to_all(folder: Path) -> None:
    """Lets any user into a folder of pytest, which is for one user."""
    for each in (folder, *folder.parents):
        if each == folder or each.name.startswith("pytest-"):
            each.chmod(0o755)
