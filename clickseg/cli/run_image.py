"""``clickseg run``: what ``monai-deploy run`` is, on machines without a GPU too."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickseg.cli.container_program import ContainerProgram, find_program
from clickseg.cli.manifests import ENVIRONMENT, MODEL_ROOT
from clickseg.cli.parser import OPTIONS
from clickseg.core.errors import ContainerError, InputError, OutputError
from clickseg.core.options import variable
from clickseg.core.owned_files import user_and_group

logger = logging.getLogger(__name__)

_CLICKS = "/mnt/clicks"
_CACHE = "/mnt/cache"
_PATH_SEPARATOR = ":"
"""Of the container, whatever the system around it."""

_PATHS = ("cache", "clicks", "models")
"""Options whose values are paths of this machine."""

_NOT_STARTED = 125
"""The exit code of docker and podman where they could not start the container."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a container works on.

    Attributes:
        image: The image.
        input: A folder of DICOM.
        output: The folder for the results.
        user: uid and gid that the container runs as; None for the image's own user.
        clicks: Click files; or ``none``.
        models: A model package or folder of them instead of those in the image.
        cache: A folder that compiled networks are kept in from run to run.
        gpus: What ``docker run --gpus`` takes; None for none.
    """

    image: str
    input: Path
    output: Path
    user: tuple[int, int] | None
    clicks: tuple[str, ...] = ()
    models: Path | None = None
    cache: Path | None = None
    gpus: str | None = None


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    job = Job(
        arguments.image,
        arguments.input,
        arguments.results,
        user=user_and_group(),
        clicks=tuple(arguments.clicks),
        models=arguments.models,
        cache=arguments.cache,
        gpus=arguments.gpus,
    )
    return run_image(job, os.environ)


def run_image(job: Job, environ: Mapping[str, str]) -> int:
    """Runs an image on a folder.

    Args:
        job: What the container works on; the folders of its results and its cache are made where they are not there.
        environ: Environment variables; the application's settings among them hold in the container too.

    Returns:
        The container's exit code.

    Raises:
        ContainerError: There is neither docker nor podman, no such image, or it could not be started.
        InputError: A file or folder is not there.
        OutputError: The output folder cannot be made.
    """
    program = find_program()
    clicks = (Path(file) for file in job.clicks if file != "none")
    for path in (job.input, *clicks, *([job.models] if job.models else [])):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if not program.has_image(job.image):
        raise ContainerError(
            f"no image {job.image} on this machine", hint=f"clickseg package -t {job.image}, or {program.name} pull"
        )
    is_new = _made(job.output)
    if job.cache is not None:
        _made(job.cache)
    settings = passed_on(environ, shows_progress=sys.stderr.isatty())
    logger.info("running %s on %s with %s", job.image, job.input, program.name)
    try:
        return wait_for(run_command(program, job, settings), program)
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # what is in it stays
                job.output.rmdir()


def _made(folder: Path) -> bool:
    """Makes a folder; returns whether it was not there."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    return is_new


def passed_on(environ: Mapping[str, str], *, shows_progress: bool) -> dict[str, str]:
    """Returns the settings of this process that hold in the container too: all but those that are paths here."""
    names = [*(variable(name) for name in OPTIONS if name not in _PATHS), "SOURCE_DATE_EPOCH"]
    passed = {name: environ[name] for name in names if environ.get(name)}
    return {**passed, "CLICKSEG_PROGRESS": "1"} if shows_progress else passed


def run_command(program: ContainerProgram, job: Job, settings: Mapping[str, str]) -> list[str]:
    """Returns the command that runs a job.

    Args:
        program: docker or podman.
        job: The job.
        settings: Environment variables for the application.
    """
    mounts, environ = _mounts(job), dict(settings)
    if job.clicks:
        environ[variable("clicks")] = _PATH_SEPARATOR.join(_seen_clicks(job.clicks))
    if job.cache is not None:
        environ[variable("cache")] = _CACHE
    words = ["run", "--rm", "--read-only", "--network", "none", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]  # noqa: S108
    words += ["--user", f"{job.user[0]}:{job.user[1]}"] if job.user else []
    words += _podman_words(job) if program.name == "podman" else _docker_words(job)
    words += [word for mount in mounts for word in ("--mount", mount)]
    words += [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
    return program.command(*words, job.image)


def _mounts(job: Job) -> list[str]:
    mounts = [
        _mount(job.input, ENVIRONMENT["HOLOSCAN_INPUT_PATH"], is_writable=False),
        _mount(job.output, ENVIRONMENT["HOLOSCAN_OUTPUT_PATH"], is_writable=True),
    ]
    if job.models is not None:
        mounts.append(_mount(job.models, f"{MODEL_ROOT}/{job.models.name}" if _is_one(job.models) else MODEL_ROOT))
    if job.cache is not None:
        mounts.append(_mount(job.cache, _CACHE, is_writable=True))
    named = zip(job.clicks, _seen_clicks(job.clicks), strict=True)
    return [*mounts, *(_mount(Path(file), seen) for file, seen in named if file != "none")]


def _mount(path: Path, seen: str, *, is_writable: bool = False) -> str:
    """Returns a bind mount; its fields are those of a line of CSV, so a path with a comma is quoted."""
    fields = ["type=bind", f"src={path.resolve()}", f"dst={seen}", *([] if is_writable else ["readonly"])]
    return ",".join('"{}"'.format(each.replace('"', '""')) if {*each} & {",", '"'} else each for each in fields)


def _is_one(models: Path) -> bool:
    """Whether a path is one package, and no folder of them."""
    return models.is_file() or (models / "configs").is_dir()


def _seen_clicks(files: Sequence[str]) -> list[str]:
    """Returns the paths that click files have in the container; each keeps its name, which tells its form."""
    return [file if file == "none" else f"{_CLICKS}/{n}/{Path(file).name}" for n, file in enumerate(files)]


def _docker_words(job: Job) -> list[str]:
    return ["--gpus", job.gpus] if job.gpus else []


def _podman_words(job: Job) -> list[str]:
    """Podman without root makes the caller root, unless it keeps the id; its GPUs have other names."""
    words = ["--security-opt", "label=disable"]
    words += ["--userns", "keep-id"] if job.user and job.user[0] != 0 else []
    return [*words, "--device", f"nvidia.com/gpu={job.gpus}"] if job.gpus else words


def wait_for(command: Sequence[str], program: ContainerProgram) -> int:
    """Runs a container, and passes on to it that it is to end.

    Returns:
        Its exit code.

    Raises:
        ContainerError: It could not be started.
    """
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise ContainerError(f"{program.name} cannot be run: {error.strerror}") from error
    code = _ended(process)
    if code == _NOT_STARTED:
        raise ContainerError(f"{program.name} could not start the container: its message is above")
    return code


def _ended(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the application cleans up and ends; the program hands the signal on to it
            process.terminate()
