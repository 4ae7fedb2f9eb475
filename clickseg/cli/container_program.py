"""The program that builds and runs containers: docker, or podman where there is no docker."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from clickseg.core.errors import ContainerError

_NAMES = ("docker", "podman")


@dataclass(frozen=True, slots=True)
class ContainerProgram:
    """docker or podman: the two take the same arguments, but for a few.

    Attributes:
        name: Which of the two.
        path: Where it is.
    """

    name: str
    path: str

    def command(self, *arguments: str) -> list[str]:
        """Returns the words of a command."""
        return [self.path, *arguments]

    def has_image(self, image: str) -> bool:
        """Whether an image is on this machine.

        Raises:
            ContainerError: The program cannot say, for example because its service does not run.
        """
        asked = subprocess.run(
            self.command("image", "inspect", "--format", "{{.Id}}", image), capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            return True
        said = asked.stderr.strip() or f"exit code {asked.returncode}"
        if "no such image" in said.lower() or "image not known" in said.lower():
            return False
        raise ContainerError(f"{self.name} cannot be used: {said.splitlines()[-1]}")


def find_program(names: Sequence[str] = _NAMES) -> ContainerProgram:
    """Returns the first of the programs that is installed.

    Raises:
        ContainerError: None is.
    """
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return ContainerProgram(name, path)
    raise ContainerError(f"neither {' nor '.join(names)} is installed", hint="apt install docker.io")
