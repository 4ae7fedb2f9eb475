"""``clickseg run``: what ``monai-deploy run`` is, on machines without a GPU too."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from clickseg.container.program import find_program
from clickseg.container.run import Job, passed_on, run_command, wait_for
from clickseg.core.owned_files import user_and_group
from clickseg.errors import ContainerError, InputError, OutputError

logger = logging.getLogger(__name__)


def run_image(
    image: str,
    folders: tuple[Path, Path],
    environ: Mapping[str, str],
    *,
    clicks: Sequence[str],
    models: Path | None,
    cache: Path | None,
    gpus: str | None,
) -> int:
    """Runs an image on a folder.

    Args:
        image: The image, on this machine.
        folders: Input, and output, which is made where it is not there.
        environ: Environment variables; the application's settings among them hold in the container too.
        clicks: Click files; or ``none``.
        models: Model packages instead of those in the image.
        cache: A folder that compiled networks are kept in from run to run.
        gpus: What ``docker run --gpus`` takes.

    Returns:
        The container's exit code.

    Raises:
        ContainerError: There is neither docker nor podman, no such image, or it could not be started.
        InputError: A file or folder is not there.
        OutputError: The output folder cannot be made.
    """
    program = find_program()
    source, output = folders
    for path in (source, *(Path(file) for file in clicks if file != "none"), *([models] if models else [])):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if not program.has_image(image):
        raise ContainerError(
            f"no image {image} on this machine", hint=f"clickseg package -t {image}, or {program.name} pull"
        )
    is_new = _made(output)
    if cache is not None:
        _made(cache)
    job = Job(image, source, output, tuple(clicks), models, cache, gpus, user_and_group())
    settings = passed_on(environ, shows_progress=sys.stderr.isatty())
    logger.info("running %s on %s with %s", image, source, program.name)
    try:
        return wait_for(run_command(program, job, settings), program)
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # what is in it stays
                output.rmdir()


def _made(folder: Path) -> bool:
    """Makes a folder; returns whether it was not there."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    return is_new
