"""Ways to run a container: with as few rights as it needs, as a task plug-in does, and with a study of a PACS."""

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
from tests.helpers.plug_ins import Machine, PlugIn, ended

USER = "12345:12345"
NAME = "clickseg-test-plug-in"
LEAST = ["--network", "none", "--read-only", "--user", USER, "--cap-drop", "ALL", "--tmpfs", "/tmp"]  # noqa: S108


def docker(*words: object) -> subprocess.CompletedProcess[str]:
    return runs.process(["docker", *words])


def command(image: str, study: Path, out: Path, *options: object) -> list[object]:
    mounts = ["-v", f"{study}:/var/holoscan/input:ro", "-v", f"{out}:/var/holoscan/output"]
    return ["run", "--rm", *LEAST, "-e", "SOURCE_DATE_EPOCH=1700000000", *mounts, *options, image]


def require_nvidia_runtime() -> None:
    """The docker plug-in and the stock runner ask for a runtime of this name, on machines without a GPU too."""
    if "nvidia" not in json.loads(docker("info", "--format", "{{json .Runtimes}}").stdout):
        pytest.skip("this docker has no runtime called nvidia: see scripts/container-test")


@dataclass(frozen=True, slots=True)
class Container(Machine):
    """A run as a container.

    Attributes:
        image: Its image.
    """

    image: str

    def run(self, plug_in: PlugIn, **changes: str) -> subprocess.CompletedProcess[str]:
        self.prepare()
        self._give_output(plug_in)
        return docker(*self.words(plug_in, **changes))

    def run_past_its_time(self, plug_in: PlugIn) -> subprocess.CompletedProcess[str]:
        with self.started(plug_in) as run:
            docker("kill", "--signal", "ALRM", NAME)
            return ended(run)

    @contextmanager
    def started(self, plug_in: PlugIn) -> Iterator[subprocess.Popen[str]]:
        """A container called ``NAME``, in the midst of its windows."""
        self.prepare()
        self._give_output(plug_in)
        words = ["docker", *map(str, self.words(plug_in, "--name", NAME))]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            try:
                runs.wait_until_it_runs(self.output)
                yield run
            finally:
                docker("rm", "--force", NAME)

    def _give_output(self, plug_in: PlugIn) -> None:
        if plug_in.owns_output and os.geteuid() == 0:
            self.output.chmod(0o755)
            os.chown(self.output, *(int(number) for number in plug_in.user.split(":")))

    def words(self, plug_in: PlugIn, *options: object, **changes: str) -> list[object]:
        """What ``docker`` is told; models of the test are mounted over those of the image."""
        if "nvidia" in plug_in.rights:
            require_nvidia_runtime()
        environ = {**plug_in.environ, **changes}
        mounts = {"models": "dst=/opt/holoscan/models,readonly", **plug_in.mounts}
        entry, rest = plug_in.command[:1], plug_in.command[1:]
        return [
            *("run", "--rm", "--user", plug_in.user, *plug_in.rights, *options),
            *(word for name, value in environ.items() for word in ("--env", f"{name}={value}")),
            *(word for name, to in mounts.items() for word in ("--mount", f"type=bind,src={self.root / name},{to}")),
            *(word for each in entry for word in ("--entrypoint", each)),
            *(self.image, *rest),
        ]
