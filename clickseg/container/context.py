"""The build context: a folder that holds what the image is made of, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickseg.container.stages import stages_for
from clickseg.errors import UsageError
from clickseg.models.choice import ModelPath, find_packages

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_build"
"""What the build needs beside the package, where ClickSeg is installed from a wheel; else it lies in the checkout."""

_LOCKS = {"cpu": ("cpu.txt", "tools.txt"), "gpu": ("gpu.txt", "torch.txt", "tools.txt")}
_SCRIPTS = ("assemble", "clickseg", "main.py", "map", "environment/keep_base.py", "environment/make")
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*", "_build", "_models")


@dataclass(frozen=True, slots=True)
class Content:
    """What goes into an image.

    Attributes:
        app: The application's folder; the package ``operators`` beside it comes along.
        models: Model packages: folders, or TorchScript files.
        docs: A folder of documents, if any.
        target: ``cpu`` or ``gpu``.
        wheels: A folder of wheels that are installed instead of an index's.
    """

    app: Path
    models: tuple[Path, ...]
    docs: Path | None
    target: str
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
    (folder / "Dockerfile").write_text(stages_for((files / "Dockerfile").read_text(), content.target))
    for name in ("LICENSE", "pyproject.toml"):
        shutil.copy(files / name, folder / name)
    _copy_container(files / "container", content, folder / "container")
    folders = {"app": content.app, "operators": content.app.parent / "operators", "clickseg": _PACKAGE}
    _copy_folders(folders | ({"docs": content.docs} if content.docs else {}), folder)
    (folder / "models").mkdir()
    for model in content.models:
        copy = shutil.copytree if model.is_dir() else shutil.copy
        copy(model, folder / "models" / model.name)


def _copy_folders(folders: Mapping[str, Path], into: Path) -> None:
    for name, path in folders.items():
        if path.is_dir():
            shutil.copytree(path, into / name, ignore=_NOT_COPIED)


def _copy_container(files: Path, content: Content, into: Path) -> None:
    locks = [f"environment/locks/{name}" for name in _LOCKS[content.target]]
    for name in (*_SCRIPTS, *locks):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files / name, into / name)
    if content.wheels is not None:
        wheels = into / "environment" / "wheels"
        wheels.mkdir()
        for wheel in content.wheels.glob("*.whl"):
            _link(wheel, wheels / wheel.name)


def _link(path: Path, link: Path) -> None:
    """Gives a file a second name, or copies it where the two are on different file systems."""
    try:
        os.link(path.resolve(), link)
    except OSError:
        shutil.copy(path, link)
