"""The container images that are tested, and how they are built."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.helpers import runs
from tests.helpers.runs import REPOSITORY

CPU_TAG, GPU, GPU_BASE = "clickseg-test/cpu:1", "clickseg-test/gpu:1", "clickseg-test/torch-base:1"


ARE_TESTED = "CLICKSEG_CONTAINER_TEST" in os.environ
"""Whether ``make container-test`` runs."""


@cache
def cpu_image() -> str:
    """The image ``cpu``; ``CLICKSEG_TEST_CPU_IMAGE`` names one that is there."""
    if "CLICKSEG_TEST_CPU_IMAGE" in os.environ:
        return os.environ["CLICKSEG_TEST_CPU_IMAGE"]
    ended = package(CPU_TAG, "-b", os.environ["CLICKSEG_TEST_BASE"])
    assert ended.returncode == 0, ended.stderr[-3000:]
    return CPU_TAG


def package(tag: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Runs ``clickseg package`` as a user does, with the wheels that were downloaded."""
    wheels = os.environ["CLICKSEG_TEST_WHEELS"]
    return runs.clickseg("package", "-t", tag, "--wheels", wheels, "--network", "host", *words, cwd=REPOSITORY)


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


def open_to_all(folder: Path) -> None:
    """Lets any user into a folder of pytest, which is for one user."""
    for each in (folder, *folder.parents):
        if each == folder or each.name.startswith("pytest-"):
            each.chmod(0o755)
