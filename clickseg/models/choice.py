"""Finding model packages and choosing the one for the series at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from clickseg.errors import ModelError
from clickseg.models.package import ModelPackage, is_package, load_package

_CHECKOUT = Path(__file__).resolve().parents[2] / "models"


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
    places = ([Path(holoscan)] if holoscan else []) + [Path("models"), _CHECKOUT]
    return tuple(ModelPath(path, is_required=False) for path in places)


def find_packages(paths: Sequence[ModelPath]) -> tuple[ModelPackage, ...]:
    """Returns the packages of the first place that holds one, by name.

    Raises:
        ModelError: A place that must hold a package holds none, no place does, or a package's metadata do not fit.
    """
    for place in paths:
        packages = _packages_in(place.path)
        if packages:
            return packages
        if place.is_required:
            raise ModelError(
                f"no model package at {place.path}: expected configs/metadata.json with a clickseg section, a folder "
                "of such folders, or a TorchScript file (.ts)"
            )
    raise ModelError(
        f"no model package in any of: {', '.join(str(place.path) for place in paths)}",
        hint="name one with -m",
    )


def choose_package(
    packages: Sequence[ModelPackage], name: str | None, wanted: AbstractSet[str], available: AbstractSet[str]
) -> ModelPackage:
    """Returns the named package, else the one that fits.

    Args:
        packages: What was found.
        name: The package asked for, if any.
        wanted: The modalities of the series that may be segmented.
        available: The modalities of all series at hand, for models with several inputs.

    Raises:
        ModelError: The named one does not exist; none fits; or several fit and not just one is marked as default.
    """
    if name is not None:
        named = [package for package in packages if package.name == name]
        if not named:
            raise ModelError(f"no model {name!r}: expected one of {_names(packages)}")
        return named[0]
    fitting = [p for p in packages if p.spec.inputs[0].modality in wanted and {*p.modalities} <= available]
    if not fitting:
        raise ModelError(f"no model for {', '.join(sorted(wanted))} series: there are {_described(packages)}")
    chosen = fitting if len(fitting) == 1 else [package for package in fitting if package.spec.default]
    if len(chosen) != 1:
        raise ModelError(f"several models fit: {_described(fitting)}", hint="name one with --model")
    return chosen[0]


def _packages_in(path: Path) -> tuple[ModelPackage, ...]:
    if is_package(path):
        return (load_package(path),)
    if not path.is_dir():
        return ()
    return tuple(load_package(child) for child in sorted(path.iterdir()) if is_package(child))


def _names(packages: Sequence[ModelPackage]) -> str:
    return ", ".join(package.name for package in packages)


def _described(packages: Sequence[ModelPackage]) -> str:
    return ", ".join(f"{p.name} (for {' + '.join(p.modalities)})" for p in packages)
