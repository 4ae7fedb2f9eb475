"""Finds model packages and chooses the package for a set of series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.models.importers.registry import FORMATS_TEXT, ZIP_HINT
from clickseg.models.package import METADATA, ModelPackage, is_package, load_package, package_name

_PYTHON_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ModelPath:
    """A location that is searched for model packages.

    Attributes:
        path: A package, or a folder of packages.
        is_required: Whether it is an error if the location contains no package.
        is_named: Whether the user or the container named the location: models of other tools are translated only there.
    """

    path: Path
    is_required: bool
    is_named: bool = False


def model_paths(explicit: Path | None, environ: Mapping[str, str]) -> tuple[ModelPath, ...]:
    """Returns the locations to search, in order; the first that contains a package is used.

    Args:
        explicit: The path given with ``-m``, if any.
        environ: ``CLICKSEG_MODELS`` and ``HOLOSCAN_MODEL_PATH``.
    """
    if explicit is not None:
        return (ModelPath(explicit, is_required=True, is_named=True),)
    if environ.get("CLICKSEG_MODELS"):
        return (ModelPath(Path(environ["CLICKSEG_MODELS"]), is_required=True, is_named=True),)
    holoscan = environ.get("HOLOSCAN_MODEL_PATH")
    locations = [
        ModelPath(path, is_required=False) for path in (Path("models"), default_models_folder(_PYTHON_PACKAGE))
    ]
    if holoscan:  # a container sets this variable to a folder that may be empty, but that must exist
        locations.insert(0, ModelPath(Path(holoscan), is_required=not Path(holoscan).exists(), is_named=True))
    return tuple(locations)


def default_models_folder(python_package: Path) -> Path:
    """Returns the folder of the model packages that are shipped with ClickSeg.

    Args:
        python_package: The folder ``clickseg``, in a checkout or in an installed wheel.
    """
    installed = python_package / "_models"
    return installed if installed.is_dir() else python_package.parent / "models"


def find_packages(paths: Sequence[ModelPath], name: str | None = None) -> tuple[ModelPackage, ...]:
    """Returns the packages of the first location that contains one, sorted by name.

    Args:
        paths: The locations to search, in order.
        name: If set, only the package of this name is read, so that other, damaged packages cause no error.

    Raises:
        ModelError: A required location contains no package, no location contains one, no package has the name, or the
            metadata of a package are invalid.
    """
    for location in paths:
        package_paths = _package_paths(location.path, name)
        if package_paths:
            return _load_packages(package_paths, name)
        if location.is_required:
            raise _no_model_error(location.path)
    raise ModelError(
        f"no model package in any of: {', '.join(str(location.path) for location in paths)}", hint="name one with -m"
    )


def _no_model_error(path: Path) -> ModelError:
    if not path.exists():
        return ModelError(f"no model at {path}: no such file or folder", hint="`clickseg models list` shows the models")
    hint = "docs/own-model.md describes the formats; a model package has a clickseg section in configs/metadata.json"
    return ModelError(
        f"no model at {path}: expected a model package, a folder of model packages, {FORMATS_TEXT}",
        hint=ZIP_HINT if path.suffix.lower() == ".zip" else hint,
    )


def has_packages(path: Path) -> bool:
    """Whether a path is a model package, or a folder that contains one."""
    return bool(_package_paths(path, None))


def list_packages(paths: Sequence[ModelPath]) -> tuple[tuple[ModelPackage, ...], tuple[ModelError, ...]]:
    """Returns the packages of the first location that contains one, and the errors of packages that cannot be read.

    Raises:
        ModelError: No location contains a package.
    """
    packages, errors = [], []
    first = next((candidates for location in paths if (candidates := _package_paths(location.path, None))), None)
    for path in first or [package.path for package in find_packages(paths)]:
        try:
            packages.append(load_package(path))
        except ModelError as error:
            errors.append(error)
    return tuple(packages), tuple(errors)


def _package_paths(path: Path, name: str | None) -> list[Path]:
    """Returns the package at a path, or the packages in a folder.

    TorchScript files in a folder are ignored: TorchScript is a program, and runs only if the user names the file.
    """
    if not path.is_dir() or (path / METADATA).is_file():
        return [path] if is_package(path) else []
    return [child for child in sorted(path.iterdir()) if child.is_dir() and (child.name == name or is_package(child))]


def _load_packages(paths: Sequence[Path], name: str | None) -> tuple[ModelPackage, ...]:
    """Loads all packages, or only the one with a name."""
    chosen = [path for path in paths if name in (None, package_name(path))]
    if not chosen:
        raise ModelError(
            f"no model {name!r}: expected one of {', '.join(package_name(path) for path in paths)}",
            hint="name the path of a model in another place with -m",
        )
    return tuple(load_package(path) for path in chosen)


def choose_package(
    packages: Sequence[ModelPackage], wanted: AbstractSet[str], available: AbstractSet[str]
) -> ModelPackage:
    """Returns the package to use for a set of series.

    Args:
        packages: The packages to choose from.
        wanted: The modalities of the series to segment.
        available: The modalities of all series in the input, for models with several inputs.

    Raises:
        ModelError: No package is suitable, or several are and not exactly one of them is marked as default.
    """
    suitable = [package for package in packages if _is_suitable(package, wanted, available)]
    if not suitable:
        raise ModelError(
            f"no model for {', '.join(sorted(wanted))} series: available models: {_names_and_modalities(packages)}",
            hint="select a folder with other model packages with -m",
        )
    chosen = suitable if len(suitable) == 1 else [package for package in suitable if package.spec.default]
    if len(chosen) != 1:
        raise ModelError(f"several models fit: {_names_and_modalities(suitable)}", hint="name one with --model")
    return chosen[0]


def _is_suitable(package: ModelPackage, wanted: AbstractSet[str], available: AbstractSet[str]) -> bool:
    additional = {image.modality for image in package.spec.inputs[1:]}
    return not wanted.isdisjoint(package.modalities) and additional <= available


def _names_and_modalities(packages: Sequence[ModelPackage]) -> str:
    return ", ".join(f"{package.name} (for {package.modalities_text})" for package in packages)
