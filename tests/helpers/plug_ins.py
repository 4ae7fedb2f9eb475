"""How each task plug-in starts a container, by the definitions of deploy/; runs of the application in that way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydicom import dcmread

from tests.helpers import phantoms, runs
from tests.helpers import workflow_contracts as contracts
from tests.helpers import workflow_definitions as definitions
from tests.helpers.workflow_definitions import DOCKER

USER_ID = 10001
IMAGE_ENVIRONMENT = {
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output",
    "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models",
    "CLICKSEG_METADATA": "1",
    "CLICKSEG_CACHE": "/tmp/clickseg",  # noqa: S108
    "HOME": "/tmp",  # noqa: S108
    "PATH": os.environ["PATH"],
}
"""The environment variables of the image."""

Application: TypeAlias = Callable[[Path, Path], int]
"""Segments a folder of DICOM into an output folder, and returns the exit code."""

DEFAULT_COMMAND = ["python3", "/opt/holoscan/app"]


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """How a task plug-in starts a container.

    Attributes:
        command: The command; empty for that of the image.
        environ: Environment variables in addition to those of the image.
        user: uid and gid.
        owns_output: Whether the user owns the output folder; if not, all users can write to it.
        options: Further options of ``docker run`` that give the container the same rights.
        mounts: The mount points of the folders of a run by name, as ``docker run --mount`` expects them.
        grace_s: The seconds from SIGTERM to SIGKILL; None if the plug-in sends no SIGTERM.
    """

    command: list[str]
    environ: Mapping[str, str]
    user: str
    owns_output: bool
    options: tuple[str, ...]
    mounts: Mapping[str, str]
    grace_s: int | None


def container_specs() -> dict[str, ContainerSpec]:
    """Returns the containers of docker and Argo tasks and of Kubernetes Jobs, by plug-in."""
    return {"docker": _docker_spec(), "argo": _argo_spec(), "kubernetes": _pod_spec(definitions.job_pod(), {})}


def _docker_spec() -> ContainerSpec:
    """As BuildContainerSpecification, SetPermission and HandleTimeout of the docker plug-in."""
    (segment,) = contracts.tasks_of(definitions.load_workflow(DOCKER), "docker")
    args, artifacts = segment["args"], segment["artifacts"]
    (input_artifact,), (output_artifact,) = artifacts["input"], artifacts["output"]
    return ContainerSpec(
        command=contracts.docker_command(args),
        environ=contracts.docker_environment(args),
        user=args["user"],
        owns_output=True,
        options=("--runtime", "nvidia"),
        mounts={
            "input": f"dst={args[input_artifact['name']]},readonly",
            "output": f"dst={args[output_artifact['name']]}",
        },
        grace_s=None,
    )


def _argo_spec() -> ContainerSpec:
    (template,) = contracts.argo_templates(definitions.load_manifest("aide/workflow-template.yaml"))
    mounts = {artifact["name"]: f"dst={artifact['path']}" for artifact in template["inputs"]["artifacts"]}
    return _pod_spec({"containers": [template["container"]]}, mounts)


def _pod_spec(pod: Mapping[str, Any], artifacts: Mapping[str, str]) -> ContainerSpec:
    """As a kubelet runs a pod; its volumes have the names of the folders of a run."""
    (container,) = pod["containers"]
    context = {**pod.get("securityContext", {}), **container["securityContext"]}
    volumes = {volume["name"]: _mount_options(volume) for volume in container["volumeMounts"]}
    return ContainerSpec(
        command=[*container.get("command", ()), *container.get("args", ())],
        environ=definitions.container_environment(container),
        user=f"{context['runAsUser']}:{context['runAsGroup']}",
        owns_output=False,
        options=tuple(_security_options(context, container["resources"]["limits"])),
        mounts={**artifacts, **volumes},
        grace_s=pod.get("terminationGracePeriodSeconds", 30),
    )


def _mount_options(volume: Mapping[str, Any]) -> str:
    return f"dst={volume['mountPath']}" + (",readonly" if volume.get("readOnly") else "")


def _security_options(context: Mapping[str, Any], limits: Mapping[str, str]) -> list[str]:
    options = ["--memory", limits["memory"].replace("Gi", "g")]
    options += ["--read-only"] if context["readOnlyRootFilesystem"] else []
    options += [] if context["allowPrivilegeEscalation"] else ["--security-opt", "no-new-privileges"]
    return [*options, *(word for name in context["capabilities"]["drop"] for word in ("--cap-drop", name))]


@dataclass(frozen=True, slots=True)
class Runner(ABC):
    """The folders of one run, and a method to run the application on them as a plug-in does."""

    root: Path

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @abstractmethod
    def run(self, spec: ContainerSpec, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the application; ``settings`` are environment variables that a site changed."""

    @abstractmethod
    def run_until_timeout(self, spec: ContainerSpec) -> subprocess.CompletedProcess[str]:
        """Runs the application until the limit of timeout(1) is reached: sends SIGALRM, as its timer does."""

    def receive_series(self, name: str, folder: str = "1", without: str | None = None) -> Path:
        """Writes a series as the gateway stores it: each instance, and its header as JSON."""
        series = phantoms.write(
            self.input / folder, phantoms.hook_volume(runs.GEOMETRY, runs.INSIDE_HU, runs.OUTSIDE_HU), "CT", name
        )
        if without is not None:
            phantoms.change(series, lambda dataset: dataset.__delattr__(without))
        for path in sorted(series.iterdir()):
            header = dcmread(path, stop_before_pixels=True).to_json_dict()
            path.with_name(f"{path.name}.json").write_text(json.dumps(header))
        return series

    def prepare_folders(self) -> None:
        """Makes the other folders, which all users can write to, and makes the input read-only."""
        for folder in (self.output, self.root / "tmp"):
            folder.mkdir()
            folder.chmod(0o777)
        for path in [self.input, *self.input.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

    def metadata(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output / "metadata.json").read_text())
        return content

    def dicom_files(self) -> list[Path]:
        """Returns the files that an export task sends: all DICOM files below the output folder."""
        return [path for path in self.output.rglob("*") if path.suffix == ".dcm"]


class ProcessRunner(Runner):
    """A run as a process of this machine."""

    def run(self, spec: ContainerSpec, **settings: str) -> subprocess.CompletedProcess[str]:
        return wait_for_exit(self._start(spec, settings))

    def run_until_timeout(self, spec: ContainerSpec) -> subprocess.CompletedProcess[str]:
        process = self._start(spec, {})
        runs.wait_until_running(self.output)
        process.send_signal(signal.SIGALRM)
        return wait_for_exit(process)

    def _start(self, spec: ContainerSpec, settings: Mapping[str, str]) -> subprocess.Popen[str]:
        self.prepare_folders()
        variables = {**IMAGE_ENVIRONMENT, **spec.environ, **settings}
        environ = {name: self.to_local_path(value) for name, value in variables.items()}
        command = [
            sys.executable if word == "python3" else self.to_local_path(word)
            for word in spec.command or DEFAULT_COMMAND
        ]
        user = {"user": USER_ID, "group": USER_ID, "extra_groups": []} if can_run_as_other_user() else {}
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **user)

    def to_local_path(self, word: str) -> str:
        """Replaces a path of the container at the beginning of a word by the path on this machine."""
        local_paths = {
            "/var/holoscan/": f"{self.root}/",
            "/opt/holoscan/models": str(self.models),
            "/opt/holoscan/app": str(runs.REPOSITORY / "app"),
            "/tmp": f"{self.root}/tmp",  # noqa: S108
        }
        path = next((path for path in local_paths if word.startswith(path)), None)
        return word if path is None else local_paths[path] + word[len(path) :]


def wait_for_exit(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Waits for the end of a process, and returns its exit code and its output."""
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def can_run_as_other_user() -> bool:
    """Whether this process is root, and other users can read Python and the checkout."""
    folders = [*Path(sys.executable).resolve().parents, *Path(sys.prefix).parents, runs.REPOSITORY]
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in folders)
