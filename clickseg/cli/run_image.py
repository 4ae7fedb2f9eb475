"""``clickseg run``: runs a container image on a folder of DICOM files.

It replaces ``monai-deploy run``, and also works on machines without a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clickseg.cli.container_program import ContainerProgram, find_program
from clickseg.cli.manifests import ENVIRONMENT, MODEL_ROOT
from clickseg.cli.run_options import OPTIONS, SOURCE_OPTIONS
from clickseg.core.errors import ContainerError, InputError, OutputError
from clickseg.core.options import environment_variable, option_value
from clickseg.core.owned_files import user_and_group
from clickseg.inference.model_sources import find_source
from clickseg.inference.runtime_settings import default_runtime_settings
from clickseg.inference.translation_cache import translate
from clickseg.models.find import ModelPath
from clickseg.models.importers.options import read_import_options

logger = logging.getLogger(__name__)

_CLICKS_MOUNT = "/mnt/clicks"
_CACHE_MOUNT = "/mnt/cache"
_MODEL_MOUNT = "/mnt/model"
_PATH_SEPARATOR = ":"
"""The separator of paths in the container, which may differ from that of this system."""

_PATH_OPTIONS = ("cache", "clicks")
"""Options of a run whose values are paths on this machine."""

_MODELS_VARIABLE = "CLICKSEG_MODELS"
"""The variable that names a model, so that it is used and not those in the image."""

_NOT_STARTED = 125
"""The exit code of docker and podman if they could not start the container."""


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """One run of a container.

    Attributes:
        image: The name of the image.
        input: The folder of DICOM files.
        output: The output folder.
        user: The user and group id of the container; None for the user of the image.
        clicks: Click files, or ``none``.
        models: A model package, a folder of them, or a model of another tool, instead of the models in the image.
        cache: A folder that keeps compiled networks for later runs.
        gpus: The GPUs, as for ``docker run --gpus``; None for no GPU.
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
    job = ContainerRun(
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


def run_image(job: ContainerRun, environ: Mapping[str, str]) -> int:
    """Runs an image on a folder.

    Args:
        job: The run; missing output and cache folders are created.
        environ: Environment variables; the settings of the application are passed to the container.

    Returns:
        The exit code of the container.

    Raises:
        ClickSegError: A model of another tool cannot be translated.
        ContainerError: Neither docker nor podman is installed, the image is missing, or the container did not start.
        InputError: A file or folder does not exist.
        OutputError: The output folder or the cache folder cannot be created.
        UsageError: The variable of an option that was renamed is set.
    """
    settings: Mapping[str, str] = container_settings(environ, shows_progress=sys.stderr.isatty())
    program = find_program()
    clicks = (Path(file) for file in job.clicks if file != "none")
    for path in (job.input, *clicks, *([job.models] if job.models else [])):
        if not path.exists():
            raise InputError(f"no such file or folder: {path}")
    if not program.has_image(job.image):
        raise ContainerError(
            f"no image {job.image} on this machine",
            hint=f"build it with clickseg package -t {job.image}, or download it with {program.name} pull {job.image}",
        )
    job, settings = _translate_model(job, settings, environ)
    is_new = _make_folder(job.output)
    if job.cache is not None:
        _make_folder(job.cache)
    logger.info("running %s on %s with %s", job.image, job.input, program.name)
    try:
        return run_container(container_command(program, job, settings), program)
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # the folder stays if it is not empty
                job.output.rmdir()


def _translate_model(
    job: ContainerRun, settings: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[ContainerRun, Mapping[str, str]]:
    """Translates a model of another tool on this machine, so that the image needs no torch.

    Returns:
        The run with the model package, and the settings without those that were used.
    """
    location = None if job.models is None else ModelPath(job.models, is_required=True, is_named=True)
    source = None if location is None else find_source(location, option_value("model", {}, environ))
    if source is None:
        return job, settings
    cache = job.cache or default_runtime_settings(environ).cache
    package = translate(source, read_import_options({}, environ), cache)
    used = {environment_variable(option) for option in SOURCE_OPTIONS}
    others = {key: value for key, value in settings.items() if key not in used}
    return replace(job, models=package.path), others


def _make_folder(folder: Path) -> bool:
    """Creates a folder, and returns whether it is new."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    return is_new


def container_settings(environ: Mapping[str, str], *, shows_progress: bool) -> dict[str, str]:
    """Returns the environment variables that are passed to the container: settings that are not paths on this machine.

    Args:
        environ: The environment variables of this process.
        shows_progress: Whether the application shows a progress bar.

    Raises:
        UsageError: The variable of an option that was renamed is set.
    """
    values = {
        environment_variable(name): option_value(name, {}, environ) for name in OPTIONS if name not in _PATH_OPTIONS
    }
    values["SOURCE_DATE_EPOCH"] = environ.get("SOURCE_DATE_EPOCH")
    settings = {name: value for name, value in values.items() if value}
    return {**settings, "CLICKSEG_PROGRESS": "1"} if shows_progress else settings


def container_command(program: ContainerProgram, job: ContainerRun, settings: Mapping[str, str]) -> list[str]:
    """Returns the command line that runs a container.

    Args:
        program: docker or podman.
        job: The run.
        settings: Environment variables for the application.
    """
    mounts, environ = _mounts(job), dict(settings)
    if job.models is not None and _is_one_model(job.models):
        environ[_MODELS_VARIABLE] = _mounted_model(job.models)
    if job.clicks:
        environ[environment_variable("clicks")] = _PATH_SEPARATOR.join(_mounted_clicks(job.clicks))
    if job.cache is not None:
        environ[environment_variable("cache")] = _CACHE_MOUNT
    words = ["run", "--rm", "--read-only", "--network", "none", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]  # noqa: S108
    words += ["--user", f"{job.user[0]}:{job.user[1]}"] if job.user else []
    words += _podman_arguments(job) if program.name == "podman" else _docker_arguments(job)
    words += [word for mount in mounts for word in ("--mount", mount)]
    words += [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
    return program.command(*words, job.image)


def _mounts(job: ContainerRun) -> list[str]:
    """Returns the bind mounts of a container."""
    mounts = [
        _mount(job.input, ENVIRONMENT["HOLOSCAN_INPUT_PATH"], is_writable=False),
        _mount(job.output, ENVIRONMENT["HOLOSCAN_OUTPUT_PATH"], is_writable=True),
    ]
    if job.models is not None:
        mounts.append(_mount(job.models, _mounted_model(job.models)))
    if job.cache is not None:
        mounts.append(_mount(job.cache, _CACHE_MOUNT, is_writable=True))
    click_files = zip(job.clicks, _mounted_clicks(job.clicks), strict=True)
    return [*mounts, *(_mount(Path(file), target) for file, target in click_files if file != "none")]


def _mount(path: Path, target: str, *, is_writable: bool = False) -> str:
    """Returns a bind mount as a line of CSV, so a path with a comma is quoted."""
    fields = ["type=bind", f"src={path.resolve()}", f"dst={target}", *([] if is_writable else ["readonly"])]
    return ",".join('"{}"'.format(field.replace('"', '""')) if {*field} & {",", '"'} else field for field in fields)


def _is_one_model(models: Path) -> bool:
    """Returns whether a path is a model package, and not a folder of packages."""
    return models.is_file() or (models / "configs").is_dir()


def _mounted_model(models: Path) -> str:
    """Returns the path of the models in the container; a single model is not mounted among those of the image."""
    name = models.resolve().name if models.is_dir() else models.name
    return f"{_MODEL_MOUNT}/{name}" if _is_one_model(models) else MODEL_ROOT


def _mounted_clicks(files: Sequence[str]) -> list[str]:
    """Returns the paths of click files in the container; each file keeps its name, which may define its format."""
    return [file if file == "none" else f"{_CLICKS_MOUNT}/{n}/{Path(file).name}" for n, file in enumerate(files)]


def _docker_arguments(job: ContainerRun) -> list[str]:
    return ["--gpus", job.gpus] if job.gpus else []


def _podman_arguments(job: ContainerRun) -> list[str]:
    """Returns arguments of podman only.

    Without root rights, podman maps the caller to root unless it keeps the user id. It also names GPUs differently.
    """
    words = ["--security-opt", "label=disable"]
    words += ["--userns", "keep-id"] if job.user and job.user[0] != 0 else []
    return [*words, "--device", f"nvidia.com/gpu={job.gpus}"] if job.gpus else words


def run_container(command: Sequence[str], program: ContainerProgram) -> int:
    """Runs a container, and terminates it if this process is interrupted.

    Returns:
        The exit code of the container.

    Raises:
        ContainerError: The container could not be started.
    """
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise ContainerError(f"{program.name} cannot be run: {error.strerror}") from error
    code = _wait(process)
    if code == _NOT_STARTED:
        raise ContainerError(f"{program.name} could not start the container: see its message above")
    return code


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Waits for a process, and returns its exit code."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # docker or podman forwards the signal to the application, which cleans up and ends
            process.terminate()
