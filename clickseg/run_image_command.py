"""``clickseg run``: what ``monai-deploy run`` is, on machines without a GPU too."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from clickseg.container.program import find_program
from clickseg.container.run import Job, passed_on, run_command, wait_for
from clickseg.errors import ContainerError, InputError, OutputError

logger = logging.getLogger(__name__)


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
