"""The container images that are tested, and how they are built."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.helpers import runs
from tests.helpers.runs import REPOSITORY

CPU_TAG, GPU_TAG, GPU_BASE_TAG = "clickseg-test/cpu:1", "clickseg-test/gpu:1", "clickseg-test/torch-base:1"


CONTAINER_TESTS_ENABLED = "CLICKSEG_CONTAINER_TEST" in os.environ
"""Whether ``make container-test`` runs."""


@cache
def cpu_image() -> str:
    """Returns the tag of the ``cpu`` image, built once; ``CLICKSEG_TEST_CPU_IMAGE`` names an existing image."""
    if "CLICKSEG_TEST_CPU_IMAGE" in os.environ:
        return os.environ["CLICKSEG_TEST_CPU_IMAGE"]
    process = run_package_command(CPU_TAG, "-b", os.environ["CLICKSEG_TEST_BASE"])
    assert process.returncode == 0, process.stderr[-3000:]
    return CPU_TAG


def run_package_command(tag: str, *options: object) -> subprocess.CompletedProcess[str]:
    """Runs ``clickseg package`` as a user does, with the downloaded wheels."""
    wheels = os.environ["CLICKSEG_TEST_WHEELS"]
    return runs.run_clickseg("package", "-t", tag, "--wheels", wheels, "--network", "host", *options, cwd=REPOSITORY)


def build_base_image(folder: Path, tag: str, constraints: Sequence[str]) -> str:
    """Builds an image with the Python packages of a folder, and with constraints for pip."""
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


def make_readable_by_all(folder: Path) -> None:
    """Makes a folder of pytest, which is private, readable by all users."""
    for path in (folder, *folder.parents):
        if path == folder or path.name.startswith("pytest-"):
            path.chmod(0o755)
