"""``clickseg package``: what ``monai-deploy package`` was, with docker or podman and nothing else."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from clickseg.cli.container_program import ContainerProgram, find_program
from clickseg.cli.terminal import tell
from clickseg.core.errors import ContainerError, InputError, OutputError, UsageError
from clickseg.models.find import ModelPath, find_packages, model_paths

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_build"
"""What the build needs beside the package, where ClickSeg is installed from a wheel; else it lies in the checkout."""

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*", "_build", "_models")

_TAG = re.compile(r"[a-z0-9][\w.\-/:]*")
_GPU_BASE = "nvcr.io/nvidia/pytorch:26.07-py3"
"""The default base image of ``gpu``; that of ``cpu`` is the Dockerfile's own."""


@dataclass(frozen=True, slots=True)
class Content:
    """What goes into an image.

    Attributes:
        app: The application's folder; the package ``operators`` beside it comes along.
        models: Model packages: folders, or TorchScript files.
        docs: A folder of documents, if any.
        wheels: A folder of wheels that are installed instead of an index's.
    """

    app: Path
    models: tuple[Path, ...]
    docs: Path | None
    wheels: Path | None = None


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


@dataclass(frozen=True, slots=True)
class Provenance:
    """The source of an application.

    Attributes:
        revision: The commit, with ``-dirty`` where files differ from it; ``unknown`` outside of a repository.
        url: The repository; empty where it has no web address.
    """

    revision: str
    url: str


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    image = Image(
        checked_tag(arguments.tag),
        arguments.app_version,
        arguments.target,
        arguments.base_image,
        arguments.network,
        not arguments.no_cache,
    )
    models = () if arguments.no_models else arguments.model
    content = content_of(arguments.app, models, os.environ, docs=arguments.docs, wheels=arguments.wheels)
    tell(package(content, image, arguments.tar_folder))
    return 0


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


def checked_tag(tag: str) -> str:
    """Returns an image's name.

    Raises:
        UsageError: It is none.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(f"tag {tag!r}: expected a name in small letters, such as clickseg:cpu")
    return tag


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


def _first_with_models(places: Iterable[ModelPath]) -> tuple[Path, ...]:
    """Returns the packages of the first place that holds any, as a run would find them."""
    return chosen_models([ModelPath(each.path, is_required=True) for each in find_packages(tuple(places))])


def checked_app(app: Path) -> Path:
    """Returns an application's folder.

    Raises:
        UsageError: It is none.
    """
    if not any((app / name).is_file() for name in ("__main__.py", "app.py")):
        raise UsageError(f"no application at {app}: expected a folder with __main__.py or app.py")
    return app.resolve()


def chosen_models(paths: Sequence[ModelPath]) -> tuple[Path, ...]:
    """Returns the model packages at some places: of a folder of packages all.

    Raises:
        ModelError: A place holds none, or one cannot be used.
        UsageError: Two have one name.
    """
    found = [package.path.resolve() for place in paths for package in find_packages((place,))]
    names = [path.name for path in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two model packages are called {twice[0]}: expected different names")
    return tuple(found)


def build_files() -> Path:
    """Returns the folder with the Dockerfile and ``container/``."""
    return _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent


def write_context(content: Content, files: Path, folder: Path) -> None:
    """Puts together a build context.

    Args:
        content: What goes into the image.
        files: The folder with the Dockerfile and ``container/``.
        folder: Where to; empty.
    """
    for name in ("Dockerfile", "LICENSE", "pyproject.toml"):
        shutil.copy(files / name, folder / name)
    shutil.copytree(files / "container", folder / "container", ignore=shutil.ignore_patterns("__pycache__", "wheels"))
    folders = {"app": content.app, "operators": content.app.parent / "operators", "clickseg": _PACKAGE}
    for name, path in (folders | ({"docs": content.docs} if content.docs else {})).items():
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=_NOT_COPIED)
    (folder / "models").mkdir()
    for model in content.models:
        copy = shutil.copytree if model.is_dir() else shutil.copy
        copy(model, folder / "models" / model.name)
    if content.wheels is not None:
        _copy_wheels(content.wheels, folder / "container" / "environment" / "wheels")


def _copy_wheels(wheels: Path, into: Path) -> None:
    into.mkdir()
    for wheel in wheels.glob("*.whl"):
        _link(wheel, into / wheel.name)


def _link(path: Path, link: Path) -> None:
    """Gives a file a second name, or copies it where the two are on different file systems."""
    try:
        os.link(path.resolve(), link)
    except OSError:
        shutil.copy(path, link)


def provenance_of(folder: Path) -> Provenance:
    """Asks git about a folder."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return Provenance("unknown", "")
    changes = _git(folder, "status", "--porcelain")
    revision = f"{commit}-dirty" if changes else commit
    return Provenance(revision, web_address(_git(folder, "remote", "get-url", "origin")))


def web_address(remote: str) -> str:
    """Returns a remote that is a web address, without user and password; of any other nothing."""
    parts = urlsplit(remote)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path, "", ""))


def _git(folder: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    asked = subprocess.run([git, "-C", folder, *arguments], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else ""


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
