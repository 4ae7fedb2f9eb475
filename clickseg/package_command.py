"""``clickseg package``: what ``monai-deploy package`` was, with docker or podman and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clickseg.container.context import Content, build_files, checked_app, chosen_models, write_context
from clickseg.container.program import ContainerProgram, find_program
from clickseg.container.provenance import Provenance, provenance_of
from clickseg.errors import ContainerError, InputError, OutputError, UsageError
from clickseg.models.choice import ModelPath, find_packages, model_paths

_TAG = re.compile(r"[a-z0-9][\w.\-/:]*")
_GPU_BASE = "nvcr.io/nvidia/pytorch:26.07-py3"
"""The default base image of ``gpu``; that of ``cpu`` is the Dockerfile's own."""


@dataclass(frozen=True, slots=True)
class Image:
    """How an image is made.

    Attributes:
        tag: Its name.
        version: Of the application.
        target: ``cpu`` or ``gpu``.
        base: The base image; None for the target's default.
        network: What the builder's steps may reach; None for the builder's default.
        use_cache: Whether steps of earlier builds count.
    """

    tag: str
    version: str
    target: str = "cpu"
    base: str | None = None
    network: str | None = None
    use_cache: bool = True


def package(content: Content, image: Image, output: Path | None) -> list[str]:
    """Builds an image.

    Args:
        content: What goes into it.
        image: How it is made.
        output: A folder that it is also written to, as a tar.

    Returns:
        What was made, a line each.

    Raises:
        ContainerError: There is neither docker nor podman, or the build failed.
        OutputError: The tar cannot be written.
    """
    program = find_program()
    if output is not None and not output.is_dir():
        raise OutputError(f"{output}: expected a folder")
    with tempfile.TemporaryDirectory(prefix="clickseg-package-") as folder:
        write_context(content, build_files(), Path(folder))
        _run(build_command(program, image, provenance_of(content.app), Path(folder)), program)
    if not program.has_image(image.tag):
        raise ContainerError(
            f"{program.name} built {image.tag} and kept it elsewhere", hint="docker buildx use default"
        )
    made = [f"image    {image.tag}"]
    return made if output is None else [*made, f"tar      {_save(program, image.tag, output)}"]


def content_of(
    app: Path,
    models: Iterable[Path] | None,
    environ: Mapping[str, str],
    *,
    docs: Path | None,
    wheels: Path | None,
) -> Content:
    """Returns what goes into an image.

    Args:
        app: The application's folder.
        models: Packages, or folders of them; None for those that the application would find.
        environ: Environment variables.
        docs: A folder of documents; None for ClickSeg's own.
        wheels: A folder of wheels.

    Raises:
        InputError: The wheels are none.
        ModelError: A model package is missing, or cannot be used.
        UsageError: There is no application.
    """
    if wheels is not None and not any(wheels.glob("*.whl")):
        raise InputError(f"no wheels in {wheels}", hint="docs/container.md says how to fill it")
    places = (
        model_paths(None, environ) if models is None else tuple(ModelPath(path, is_required=True) for path in models)
    )
    found = _first_with_models(places) if models is None else chosen_models(places)
    own_docs = build_files() / "docs"
    return Content(checked_app(app), found, docs or (own_docs if own_docs.is_dir() else None), wheels)


def build_command(program: ContainerProgram, image: Image, provenance: Provenance, context: Path) -> list[str]:
    """Returns the command that builds an image."""
    arguments = {
        "TARGET": image.target,
        "TITLE": image.tag.rpartition("/")[2].partition(":")[0],
        "VERSION": image.version,
        "REVISION": provenance.revision,
        "SOURCE": provenance.url,
    }
    base = image.base or (_GPU_BASE if image.target == "gpu" else None)
    if base is not None:
        arguments["BASE_IMAGE"] = base
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    words += ["--network", image.network] if image.network else []
    words += [] if image.use_cache else ["--no-cache"]
    return program.command("build", "--tag", image.tag, *words, str(context))


def checked_tag(tag: str) -> str:
    """Returns an image's name.

    Raises:
        UsageError: It is none.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(f"tag {tag!r}: expected a name in small letters, such as clickseg:cpu")
    return tag


def _first_with_models(places: Iterable[ModelPath]) -> tuple[Path, ...]:
    """Returns the packages of the first place that holds any, as a run would find them."""
    return chosen_models([ModelPath(each.path, is_required=True) for each in find_packages(tuple(places))])


def _run(command: list[str], program: ContainerProgram) -> None:
    """Runs a build; what it says is a log."""
    sys.stderr.flush()
    try:
        code = subprocess.run(command, stdout=sys.stderr.fileno(), check=False).returncode
    except OSError as error:
        raise ContainerError(f"{program.name} cannot be run: {error.strerror}") from error
    if code != 0:
        raise ContainerError(f"{program.name} build failed with exit code {code}: its messages are above")


def _save(program: ContainerProgram, tag: str, folder: Path) -> Path:
    """Writes an image as a tar, under another name until it is whole."""
    path = folder / f"{re.sub(r'[/:]', '_', tag)}.tar"
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        _run(program.command("save", "--output", str(part), tag), program)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written to: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return path
