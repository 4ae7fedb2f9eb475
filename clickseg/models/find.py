"""Finding model packages and choosing the one for the series at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from clickseg.core.arguments import to_path
from clickseg.core.errors import ModelError
from clickseg.models.package import METADATA, ModelPackage, is_package, load_package, package_name

_CLICKSEG = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ModelPath:
    """A place where packages may lie.

    Attributes:
        path: A package, or a folder of packages.
        is_required: Whether it is an error that it holds none.
    """

    path: Path
    is_required: bool


def model_paths(explicit: Path | None, environ: Mapping[str, str]) -> tuple[ModelPath, ...]:
    """Returns the places to look in, in order: the first that holds a package counts.

    Args:
        explicit: What ``-m`` names.
        environ: ``CLICKSEG_MODELS`` and ``HOLOSCAN_MODEL_PATH``.
    """
    if explicit is not None:
        return (ModelPath(explicit, is_required=True),)
    if environ.get("CLICKSEG_MODELS"):
        return (ModelPath(Path(environ["CLICKSEG_MODELS"]), is_required=True),)
    holoscan = environ.get("HOLOSCAN_MODEL_PATH")
    places = [ModelPath(path, is_required=False) for path in (Path("models"), default_models(_CLICKSEG))]
    if holoscan:  # a container names a folder that may be empty, but not one that is not there
        places.insert(0, ModelPath(Path(holoscan), is_required=not Path(holoscan).exists()))
    return tuple(places)


def default_models(clickseg: Path) -> Path:
    """Returns the folder of the model packages that come with ClickSeg.

    Args:
        clickseg: The folder of the Python package, in a checkout or where a wheel is installed.
    """
    installed = clickseg / "_models"
    return installed if installed.is_dir() else clickseg.parent / "models"


def find_packages(paths: Sequence[ModelPath], name: str | None = None) -> tuple[ModelPackage, ...]:
    """Returns the packages of the first place that holds one, by name.

    Args:
        paths: Where to look, in order.
        name: The only package that is wanted, if any: others are not read, and so cannot be in its way.

    Raises:
        ModelError: A place that must hold a package holds none, no place does, none has the name, or a package's
            metadata do not fit.
    """
    for place in paths:
        found = _package_paths(place.path, name)
        if found:
            return _named(found, name)
        if place.is_required:
            raise ModelError(
                f"no model package at {place.path}: expected configs/metadata.json with a clickseg section, a folder "
                "of such folders, or a TorchScript file (.ts)"
            )
    raise ModelError(
        f"no model package in any of: {', '.join(str(place.path) for place in paths)}", hint="name one with -m"
    )


def load_model(name_or_path: str | os.PathLike[str]) -> ModelPackage:
    """Loads the description of a model; its network is loaded when it runs.

    Args:
        name_or_path: The path of a model package or of a TorchScript file; or the name of a package in ``./models`` or
            of one that comes with ClickSeg. A string is a path where a package is there, or where it has a slash.

    Raises:
        ModelError: There is no such model, the path holds several, or its metadata do not fit.
        UsageError: It is neither a name nor a path.
    """
    path = to_path(name_or_path, "model")
    is_name = isinstance(name_or_path, str) and path.name == name_or_path and not is_package(path)
    if is_name:
        return find_packages(model_paths(None, {}), str(name_or_path))[0]
    packages = find_packages([ModelPath(path, is_required=True)])
    if len(packages) > 1:
        names = ", ".join(package.name for package in packages)
        raise ModelError(f"{path}: expected one model package, got {len(packages)}: {names}")
    return packages[0]


def list_packages(paths: Sequence[ModelPath]) -> tuple[tuple[ModelPackage, ...], tuple[ModelError, ...]]:
    """Returns the packages of the first place that holds one, and what is wrong with those that cannot be read.

    Raises:
        ModelError: There are none.
    """
    packages, errors = [], []
    first = next((found for place in paths if (found := _package_paths(place.path, None))), None)
    for path in first or [package.path for package in find_packages(paths)]:
        try:
            packages.append(load_package(path))
        except ModelError as error:
            errors.append(error)
    return tuple(packages), tuple(errors)


def _package_paths(path: Path, name: str | None) -> list[Path]:
    """Returns the package at a path, or those in a folder; TorchScript is a program, and counts only if named."""
    if not path.is_dir() or (path / METADATA).is_file():
        return [path] if is_package(path) else []
    return [child for child in sorted(path.iterdir()) if child.is_dir() and (child.name == name or is_package(child))]


def _named(paths: Sequence[Path], name: str | None) -> tuple[ModelPackage, ...]:
    chosen = [path for path in paths if name in (None, package_name(path))]
    if not chosen:
        raise ModelError(f"no model {name!r}: expected one of {', '.join(package_name(path) for path in paths)}")
    return tuple(load_package(path) for path in chosen)


def choose_package(
    packages: Sequence[ModelPackage], wanted: AbstractSet[str], available: AbstractSet[str]
) -> ModelPackage:
    """Returns the package that fits.

    Args:
        packages: What was found.
        wanted: The modalities of the series that may be segmented.
        available: The modalities of all series at hand, for models with several inputs.

    Raises:
        ModelError: None fits, or several fit and not just one is marked as default.
    """
    fitting = [package for package in packages if _fits(package, wanted, available)]
    if not fitting:
        raise ModelError(
            f"no model for {', '.join(sorted(wanted))} series: there are {_described(packages)}",
            hint="-m names a folder with other model packages",
        )
    chosen = fitting if len(fitting) == 1 else [package for package in fitting if package.spec.default]
    if len(chosen) != 1:
        raise ModelError(f"several models fit: {_described(fitting)}", hint="name one with --model")
    return chosen[0]


def _fits(package: ModelPackage, wanted: AbstractSet[str], available: AbstractSet[str]) -> bool:
    others = {each.modality for each in package.spec.inputs[1:]}
    return not wanted.isdisjoint(package.modalities) and others <= available


def _described(packages: Sequence[ModelPackage]) -> str:
    return ", ".join(f"{package.name} (for {package.takes})" for package in packages)
