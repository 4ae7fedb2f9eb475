"""Ways to run a container: with as few rights as it needs, as a task plug-in does, and with a study of a PACS."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.plug_ins import Machine, PlugIn

USER = "12345:12345"
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
        if plug_in.owns_output and os.geteuid() == 0:
            self.output.chmod(0o755)
            os.chown(self.output, *(int(number) for number in plug_in.user.split(":")))
        return docker(*self.words(plug_in, **changes))

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
