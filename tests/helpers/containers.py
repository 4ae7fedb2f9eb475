"""Runs of containers: with as few rights as possible, and as a task plug-in starts them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.plug_ins import ContainerSpec, Runner, wait_for_exit

USER = "12345:12345"
NAME = "clickseg-test-plug-in"
LEAST_RIGHTS = ["--network", "none", "--read-only", "--user", USER, "--cap-drop", "ALL", "--tmpfs", "/tmp"]  # noqa: S108


def run_docker(*arguments: object) -> subprocess.CompletedProcess[str]:
    return runs.run_process(["docker", *arguments])


def run_arguments(image: str, study: Path, out: Path, *options: object) -> list[object]:
    """Returns the arguments of ``docker`` that segment a study in a container with the least rights."""
    mounts = ["-v", f"{study}:/var/holoscan/input:ro", "-v", f"{out}:/var/holoscan/output"]
    return ["run", "--rm", *LEAST_RIGHTS, "-e", "SOURCE_DATE_EPOCH=1700000000", *mounts, *options, image]


def require_nvidia_runtime() -> None:
    """Skips the test without the runtime ``nvidia``, which docker plug-in and holoscan-cli need even without a GPU."""
    if "nvidia" not in json.loads(run_docker("info", "--format", "{{json .Runtimes}}").stdout):
        pytest.skip("this docker has no runtime with the name nvidia: see scripts/container-test")


@dataclass(frozen=True, slots=True)
class ContainerRunner(Runner):
    """A run as a container.

    Attributes:
        image: The tag of the image.
    """

    image: str

    def run(self, spec: ContainerSpec, **settings: str) -> subprocess.CompletedProcess[str]:
        self.prepare_folders()
        self._set_owner_of_output(spec)
        return run_docker(*self.docker_arguments(spec, **settings))

    def run_until_timeout(self, spec: ContainerSpec) -> subprocess.CompletedProcess[str]:
        with self.start(spec) as process:
            run_docker("kill", "--signal", "ALRM", NAME)
            return wait_for_exit(process)

    @contextmanager
    def start(self, spec: ContainerSpec) -> Iterator[subprocess.Popen[str]]:
        """Starts a container with the name ``NAME``, and waits until its inference runs."""
        self.prepare_folders()
        self._set_owner_of_output(spec)
        command = ["docker", *map(str, self.docker_arguments(spec, "--name", NAME))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                runs.wait_until_running(self.output)
                yield process
            finally:
                run_docker("rm", "--force", NAME)

    def _set_owner_of_output(self, spec: ContainerSpec) -> None:
        if spec.owns_output and os.geteuid() == 0:
            self.output.chmod(0o755)
            os.chown(self.output, *(int(number) for number in spec.user.split(":")))

    def docker_arguments(self, spec: ContainerSpec, *options: object, **settings: str) -> list[object]:
        """Returns the arguments of ``docker``; models of the test replace those of the image."""
        if "nvidia" in spec.options:
            require_nvidia_runtime()
        environ = {**spec.environ, **settings}
        mounts = {"models": "dst=/opt/holoscan/models,readonly", **spec.mounts}
        entrypoint, arguments = spec.command[:1], spec.command[1:]
        return [
            *("run", "--rm", "--user", spec.user, *spec.options, *options),
            *(word for name, value in environ.items() for word in ("--env", f"{name}={value}")),
            *(word for name, to in mounts.items() for word in ("--mount", f"type=bind,src={self.root / name},{to}")),
            *(word for program in entrypoint for word in ("--entrypoint", program)),
            *(self.image, *arguments),
        ]
