"""What each task plug-in starts a container with, read from the definitions of deploy/, and the folders of one run."""

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

USER = 10001
IMAGE = {
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output",
    "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models",
    "CLICKSEG_METADATA": "1",
    "CLICKSEG_CACHE": "/tmp/clickseg",  # noqa: S108
    "HOME": "/tmp",  # noqa: S108
    "PATH": os.environ["PATH"],
}
"""What the image sets by itself."""

Application: TypeAlias = Callable[[Path, Path], int]
"""Segments a folder of DICOM into another folder, and returns the exit code."""

DEFAULT_COMMAND = ["python3", "/opt/holoscan/app"]


@dataclass(frozen=True, slots=True)
class PlugIn:
    """What a container is started with.

    Attributes:
        command: Its words; none are those of the image.
        environ: Its environment, beside that of the image.
        heeds_exit_code: Whether the task fails where the container does; else only files count.
        user: uid and gid.
        owns_output: Whether the output folder is made that user's; else anybody may write there.
        rights: What else ``docker run`` is told for a container that may do as much, and no more.
        mounts: Where in it the folders of a run are, by their names, as ``docker run --mount`` takes it.
        grace_s: How long it has from SIGTERM to SIGKILL; None where it gets no SIGTERM.
    """

    command: list[str]
    environ: Mapping[str, str]
    heeds_exit_code: bool
    user: str
    owns_output: bool
    rights: tuple[str, ...]
    mounts: Mapping[str, str]
    grace_s: int | None


def plug_ins() -> dict[str, PlugIn]:
    return {"docker": _docker(), "argo": _argo(), "kubernetes": _pod(definitions.job_pod(), {})}


def _docker() -> PlugIn:
    """By BuildContainerSpecification, SetPermission and HandleTimeout of the docker plug-in."""
    (segment,) = contracts.tasks_of(definitions.workflow(DOCKER), "docker")
    args, artifacts = segment["args"], segment["artifacts"]
    ((taken,), (made,)) = (artifacts["input"], artifacts["output"])
    return PlugIn(
        command=contracts.docker_command(args),
        environ=contracts.docker_environment(args),
        heeds_exit_code=False,
        user=args["user"],
        owns_output=True,
        rights=("--runtime", "nvidia"),
        mounts={"input": f"dst={args[taken['name']]},readonly", "output": f"dst={args[made['name']]}"},
        grace_s=None,
    )


def _argo() -> PlugIn:
    (template,) = contracts.argo_templates(definitions.manifest("aide/workflow-template.yaml"))
    taken = {each["name"]: f"dst={each['path']}" for each in template["inputs"]["artifacts"]}
    return _pod({"containers": [template["container"]]}, taken)


def _pod(pod: Mapping[str, Any], artifacts: Mapping[str, str]) -> PlugIn:
    """By what a kubelet makes of a pod; its volumes are called as the folders of a run."""
    (container,) = pod["containers"]
    context = {**pod.get("securityContext", {}), **container["securityContext"]}
    volumes = {each["name"]: _mount(each) for each in container["volumeMounts"]}
    return PlugIn(
        command=[*container.get("command", ()), *container.get("args", ())],
        environ=definitions.environment_of(container),
        heeds_exit_code=True,
        user=f"{context['runAsUser']}:{context['runAsGroup']}",
        owns_output=False,
        rights=tuple(_rights(context, container["resources"]["limits"])),
        mounts={**artifacts, **volumes},
        grace_s=pod.get("terminationGracePeriodSeconds", 30),
    )


def _mount(volume: Mapping[str, Any]) -> str:
    return f"dst={volume['mountPath']}" + (",readonly" if volume.get("readOnly") else "")


def _rights(context: Mapping[str, Any], limits: Mapping[str, str]) -> list[str]:
    words = ["--memory", limits["memory"].replace("Gi", "g")]
    words += ["--read-only"] if context["readOnlyRootFilesystem"] else []
    words += [] if context["allowPrivilegeEscalation"] else ["--security-opt", "no-new-privileges"]
    return [*words, *(word for name in context["capabilities"]["drop"] for word in ("--cap-drop", name))]


@dataclass(frozen=True, slots=True)
class Machine(ABC):
    """The folders of one run, and a way to run the application on them."""

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
    def run(self, plug_in: PlugIn, **changes: str) -> subprocess.CompletedProcess[str]:
        """Runs the application as a plug-in does; ``changes`` are settings that a site made."""

    @abstractmethod
    def run_past_its_time(self, plug_in: PlugIn) -> subprocess.CompletedProcess[str]:
        """The same, with timeout(1) at its limit while the application runs: SIGALRM is what its timer sends."""

    def receive(self, name: str, folder: str = "1", without: str | None = None) -> Path:
        """Writes a series as the gateway stores it: each instance with its header as JSON beside it."""
        series = phantoms.write(
            self.input / folder, phantoms.hook(runs.GEOMETRY, runs.INSIDE_HU, runs.OUTSIDE_HU), "CT", name
        )
        if without is not None:
            phantoms.change(series, lambda dataset: dataset.__delattr__(without))
        for path in sorted(series.iterdir()):
            header = dcmread(path, stop_before_pixels=True).to_json_dict()
            path.with_name(f"{path.name}.json").write_text(json.dumps(header))
        return series

    def prepare(self) -> None:
        """Makes the other folders; anybody may write there, and nobody to the input."""
        for folder in (self.output, self.root / "tmp"):
            folder.mkdir()
            folder.chmod(0o777)
        for path in [self.input, *self.input.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.output / "metadata.json").read_text())
        return found

    def exported(self) -> list[Path]:
        """What an export task takes: every DICOM file below the output, wherever it lies."""
        return [path for path in self.output.rglob("*") if path.suffix == ".dcm"]


class Process(Machine):
    """A run as a process of this machine."""

    def run(self, plug_in: PlugIn, **changes: str) -> subprocess.CompletedProcess[str]:
        return ended(self._started(plug_in, changes))

    def run_past_its_time(self, plug_in: PlugIn) -> subprocess.CompletedProcess[str]:
        run = self._started(plug_in, {})
        runs.wait_until_it_runs(self.output)
        run.send_signal(signal.SIGALRM)
        return ended(run)

    def _started(self, plug_in: PlugIn, changes: Mapping[str, str]) -> subprocess.Popen[str]:
        self.prepare()
        environ = {name: self.here(value) for name, value in {**IMAGE, **plug_in.environ, **changes}.items()}
        command = plug_in.command or DEFAULT_COMMAND
        words = [sys.executable if word == "python3" else self.here(word) for word in command]
        other = {"user": USER, "group": USER, "extra_groups": []} if is_other_user_possible() else {}
        return subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **other)

    def here(self, word: str) -> str:
        """A word of a definition, with the paths of this machine."""
        places = {
            "/var/holoscan/": f"{self.root}/",
            "/opt/holoscan/models": str(self.models),
            "/opt/holoscan/app": str(runs.REPOSITORY / "app"),
            "/tmp": f"{self.root}/tmp",  # noqa: S108
        }
        found = next((there for there in places if word.startswith(there)), None)
        return word if found is None else places[found] + word[len(found) :]


def ended(run: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Waits for the end of a run."""
    output, errors = run.communicate()
    return subprocess.CompletedProcess(run.args, run.returncode, output, errors)


def is_other_user_possible() -> bool:
    """Whether this is root, and the Python and the checkout lie where other users may go."""
    folders = [*Path(sys.executable).resolve().parents, *Path(sys.prefix).parents, runs.REPOSITORY]
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in folders)
