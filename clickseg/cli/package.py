"""``clickseg package``: builds a MONAI Application Package, a container image.

It replaces ``monai-deploy package``, and requires only docker or podman.
"""

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
from clickseg.cli.terminal import print_lines
from clickseg.core.errors import ContainerError, InputError, OutputError, UsageError
from clickseg.inference.model_sources import find_models
from clickseg.inference.runtime_settings import default_runtime_settings
from clickseg.models.find import ModelPath, model_paths
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_build"
"""The other files that the build needs, if ClickSeg is installed from a wheel; otherwise they are in the checkout."""

_IGNORE_PATTERNS = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*", "_build", "_models")

_TAG = re.compile(r"[a-z0-9][\w.\-/:]*")
_GPU_BASE = "nvcr.io/nvidia/pytorch:26.07-py3"
"""The default base image of the target ``gpu``; the Dockerfile has the default for ``cpu``."""


@dataclass(frozen=True, slots=True)
class ImageContent:
    """The content of an image.

    Attributes:
        app: The folder of the application; the package ``operators`` next to it is included.
        models: Model packages: folders, or TorchScript files.
        docs: The folder of documents, if any.
        wheels: A folder of wheels to install Python packages from, instead of a package index.
    """

    app: Path
    models: tuple[Path, ...]
    docs: Path | None
    wheels: Path | None = None


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """The options of an image build.

    Attributes:
        tag: The name of the image.
        version: The version of the application.
        target: ``cpu`` or ``gpu``.
        base: The base image; None for the default of the target.
        network: The network mode of the build; None for the default of docker or podman.
        use_cache: Whether the cache of earlier builds is used.
    """

    tag: str
    version: str
    target: str = "cpu"
    base: str | None = None
    network: str | None = None
    use_cache: bool = True


@dataclass(frozen=True, slots=True)
class SourceRevision:
    """The source of an application.

    Attributes:
        revision: The commit, with ``-dirty`` if files differ from it; ``unknown`` outside a repository.
        url: The URL of the repository; empty if it has no web address.
    """

    revision: str
    url: str


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    image = ImageBuild(
        parse_tag(arguments.tag),
        arguments.app_version,
        arguments.target,
        arguments.base_image,
        arguments.network,
        not arguments.no_cache,
    )
    models = () if arguments.no_models else arguments.model
    content = find_image_content(arguments.app, models, os.environ, docs=arguments.docs, wheels=arguments.wheels)
    print_lines(package(content, image, arguments.tar_folder))
    return 0


def package(content: ImageContent, image: ImageBuild, output: Path | None) -> list[str]:
    """Builds an image.

    Args:
        content: The content of the image.
        image: The options of the build.
        output: A folder to also save the image to, as a tar archive.

    Returns:
        The name of the image and the path of the archive, one a line.

    Raises:
        ContainerError: Neither docker nor podman is installed, or the build failed.
        OutputError: The archive cannot be written.
    """
    program = find_program()
    if output is not None and not output.is_dir():
        raise OutputError(f"{output}: expected an existing folder")
    with tempfile.TemporaryDirectory(prefix="clickseg-package-") as folder:
        write_context(content, build_files_folder(), Path(folder))
        _run(build_command(program, image, read_source_revision(content.app), Path(folder)), program)
    if not program.has_image(image.tag):
        raise ContainerError(
            f"{program.name} built {image.tag}, but did not store it on this machine",
            hint="select the default builder with: docker buildx use default",
        )
    lines = [f"image    {image.tag}"]
    return lines if output is None else [*lines, f"tar      {_save(program, image.tag, output)}"]


def parse_tag(tag: str) -> str:
    """Returns the name of an image, if it is valid.

    Raises:
        UsageError: The name is invalid.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(f"--tag: expected a lower-case name, such as clickseg:cpu, got {tag!r}")
    return tag


def find_image_content(
    app: Path,
    models: Iterable[Path] | None,
    environ: Mapping[str, str],
    *,
    docs: Path | None,
    wheels: Path | None,
) -> ImageContent:
    """Returns the content of an image.

    Args:
        app: The folder of the application.
        models: Model packages, or folders of them; None for the models that a run would use.
        environ: Environment variables.
        docs: The folder of documents; None for the documents of ClickSeg.
        wheels: A folder of wheels, if any.

    Raises:
        InputError: The folder of wheels contains no wheel.
        ModelError: A model package is missing or invalid.
        UsageError: The folder contains no application.
    """
    if wheels is not None and not any(wheels.glob("*.whl")):
        raise InputError(
            f"{wheels}: expected a folder with wheels, got none",
            hint="docs/container.md describes how to download them",
        )
    places = (
        model_paths(None, environ)
        if models is None
        else tuple(ModelPath(path, is_required=True, is_named=True) for path in models)
    )
    packages = _find_default_model_paths(places) if models is None else find_model_paths(places)
    default_docs = build_files_folder() / "docs"
    return ImageContent(resolve_app(app), packages, docs or (default_docs if default_docs.is_dir() else None), wheels)


def _find_default_model_paths(places: Iterable[ModelPath]) -> tuple[Path, ...]:
    """Returns the paths of the model packages that a run would use: those of the first place that contains any."""
    packages = _find_models(tuple(places))
    return find_model_paths([ModelPath(package.path, is_required=True) for package in packages])


def resolve_app(app: Path) -> Path:
    """Returns the absolute path of an application's folder.

    Raises:
        UsageError: The folder contains no application.
    """
    if not any((app / name).is_file() for name in ("__main__.py", "app.py")):
        raise UsageError(f"{app}: expected the folder of an application, with __main__.py or app.py")
    return app.resolve()


def find_model_paths(paths: Sequence[ModelPath]) -> tuple[Path, ...]:
    """Returns the paths of the model packages at some paths, each of which is a package or a folder of packages.

    Raises:
        ModelError: A path contains no model package, or a package is invalid.
        UsageError: Two packages have the same name.
    """
    packages = [package.path.resolve() for path in paths for package in _find_models((path,))]
    names = [path.name for path in packages]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise UsageError(f"model packages: expected different names, got two packages named {duplicates[0]}")
    return tuple(packages)


def _find_models(paths: tuple[ModelPath, ...]) -> tuple[ModelPackage, ...]:
    """Returns model packages; a model of another tool is translated, so that the image needs no torch."""
    return find_models(paths, None, ImportOptions(), default_runtime_settings(os.environ).cache)


def build_files_folder() -> Path:
    """Returns the folder with the Dockerfile and ``container/``."""
    return _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent


def write_context(content: ImageContent, files: Path, folder: Path) -> None:
    """Writes a build context.

    Args:
        content: The content of the image.
        files: The folder with the Dockerfile and ``container/``.
        folder: An empty folder for the context.
    """
    for name in ("Dockerfile", "LICENSE", "pyproject.toml"):
        shutil.copy(files / name, folder / name)
    shutil.copytree(files / "container", folder / "container", ignore=shutil.ignore_patterns("__pycache__", "wheels"))
    folders = {"app": content.app, "operators": content.app.parent / "operators", "clickseg": _PACKAGE}
    for name, path in (folders | ({"docs": content.docs} if content.docs else {})).items():
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=_IGNORE_PATTERNS)
    (folder / "models").mkdir()
    for model in content.models:
        copy = shutil.copytree if model.is_dir() else shutil.copy
        copy(model, folder / "models" / model.name)
    if content.wheels is not None:
        _copy_wheels(content.wheels, folder / "container" / "environment" / "wheels")


def _copy_wheels(wheels: Path, folder: Path) -> None:
    folder.mkdir()
    for wheel in wheels.glob("*.whl"):
        _link_or_copy(wheel, folder / wheel.name)


def _link_or_copy(path: Path, link: Path) -> None:
    """Creates a hard link to a file, or copies the file if the link would be on another file system."""
    try:
        os.link(path.resolve(), link)
    except OSError:
        shutil.copy(path, link)


def read_source_revision(folder: Path) -> SourceRevision:
    """Returns the commit and the repository of a folder, from git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return SourceRevision("unknown", "")
    changes = _git(folder, "status", "--porcelain")
    revision = f"{commit}-dirty" if changes else commit
    return SourceRevision(revision, web_address(_git(folder, "remote", "get-url", "origin")))


def web_address(remote: str) -> str:
    """Returns the URL of a git remote without user and password; empty if it is not a web address."""
    parts = urlsplit(remote)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path, "", ""))


def _git(folder: Path, *arguments: str) -> str:
    """Returns the output of a git command; empty if it failed or git is not installed."""
    git = shutil.which("git")
    if git is None:
        return ""
    result = subprocess.run([git, "-C", folder, *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def build_command(program: ContainerProgram, image: ImageBuild, source: SourceRevision, context: Path) -> list[str]:
    """Returns the command line that builds an image."""
    arguments = {
        "TARGET": image.target,
        "TITLE": image.tag.rpartition("/")[2].partition(":")[0],
        "VERSION": image.version,
        "REVISION": source.revision,
        "SOURCE": source.url,
    }
    base = image.base or (_GPU_BASE if image.target == "gpu" else None)
    if base is not None:
        arguments["BASE_IMAGE"] = base
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    words += ["--network", image.network] if image.network else []
    words += [] if image.use_cache else ["--no-cache"]
    return program.command("build", "--tag", image.tag, *words, str(context))


def _run(command: list[str], program: ContainerProgram) -> None:
    """Runs docker or podman, and sends its output to standard error, since it is a log."""
    sys.stderr.flush()
    try:
        code = subprocess.run(command, stdout=sys.stderr.fileno(), check=False).returncode
    except OSError as error:
        raise ContainerError(f"{program.name} cannot be run: {error.strerror}") from error
    if code != 0:
        raise ContainerError(f"{program.name} {command[1]} failed with exit code {code}: see its messages above")


def _save(program: ContainerProgram, tag: str, folder: Path) -> Path:
    """Saves an image as a tar archive, which has a temporary name until it is complete."""
    path = folder / f"{re.sub(r'[/:]', '_', tag)}.tar"
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        _run(program.command("save", "--output", str(part), tag), program)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return path
