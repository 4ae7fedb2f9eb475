"""The build context: a folder that holds what the image is made of, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clickseg.errors import UsageError
from clickseg.models.choice import ModelPath, find_packages

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_build"
"""What the build needs beside the package, where ClickSeg is installed from a wheel; else it lies in the checkout."""

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*", "_build", "_models")


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


def build_files() -> Path:
    """Returns the folder with the Dockerfile and ``container/``."""
    return _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent


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
