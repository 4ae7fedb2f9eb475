"""The program that builds and runs containers: docker, or podman if docker is not installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from clickseg.core.errors import ContainerError

_NAMES = ("docker", "podman")


@dataclass(frozen=True, slots=True)
class ContainerProgram:
    """docker or podman, which have nearly the same arguments.

    Attributes:
        name: ``docker`` or ``podman``.
        path: The path of the program.
    """

    name: str
    path: str

    def command(self, *arguments: str) -> list[str]:
        """Returns a command line of the program."""
        return [self.path, *arguments]

    def has_image(self, image: str) -> bool:
        """Returns whether an image is on this machine.

        Raises:
            ContainerError: The program failed, for example because the docker service is not running.
        """
        result = subprocess.run(
            self.command("image", "inspect", "--format", "{{.Id}}", image), capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            return True
        message = result.stderr.strip() or f"exit code {result.returncode}"
        if "no such image" in message.lower() or "image not known" in message.lower():
            return False
        raise ContainerError(f"{self.name} cannot be used: {message.splitlines()[-1]}")


def find_program(names: Sequence[str] = _NAMES) -> ContainerProgram:
    """Returns the first program that is installed.

    Raises:
        ContainerError: No program is installed.
    """
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return ContainerProgram(name, path)
    raise ContainerError(
        f"neither {' nor '.join(names)} is installed", hint="install docker, for example with: apt install docker.io"
    )
