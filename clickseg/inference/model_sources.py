"""Finds the models that a run names: model packages, and models of other tools, which are translated."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clickseg.core.arguments import to_path
from clickseg.core.errors import ModelError, UsageError
from clickseg.inference.model_readers import find_reader, source_name
from clickseg.inference.runtime_settings import default_runtime_settings
from clickseg.inference.translation_cache import translate
from clickseg.models.find import ModelPath, find_packages, has_packages, model_paths
from clickseg.models.importers.options import parse_axes, parse_changes, parse_preset, parse_unit
from clickseg.models.importers.registry import FILE_SUFFIXES
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage, is_package

logger = logging.getLogger(__name__)


def find_models(
    paths: Sequence[ModelPath], name: str | None, options: ImportOptions, cache: Path | None
) -> tuple[ModelPackage, ...]:
    """Returns the models of the first location that contains one, sorted by name.

    A model of another tool is translated if the user names its path, or a folder that contains no model package and
    only this model; with ``name`` it can be one of several.

    Args:
        paths: The locations to search, in order.
        name: If set, only the model of this name is read.
        options: What the user states about a model of another tool.
        cache: The folder for translated models.

    Raises:
        ModelError: No location contains a model, or the model cannot be translated.
        LibraryError: A library for the translation is not installed.
        UsageError: The options are for models of other tools, but the model is a package.
    """
    with _permission_errors():
        source = _first_source(paths, name)
    if source is not None:
        return (translate(source, options, cache),)
    with _permission_errors():
        packages = find_packages(paths, name)
        if name is None:
            _log_ignored_sources(packages, paths)
    if options != ImportOptions():
        raise UsageError(
            "--stored-axes, --unit, --preset and --set are only for models of other tools, but "
            f"{packages[0].name} is a model package",
            hint=f"edit {packages[0].path / 'configs' / 'metadata.json'} instead",
        )
    return packages


def is_translated(paths: Sequence[ModelPath], name: str | None) -> bool:
    """Whether ``find_models`` returns a model of another tool."""
    with _permission_errors():
        return _first_source(paths, name) is not None


def log_assumptions(package: ModelPackage) -> None:
    """Warns of what was assumed when the model of a run was translated."""
    for assumption in package.assumptions:
        logger.warning("model %s: assumed: %s", package.name, assumption)


def _log_ignored_sources(packages: Sequence[ModelPackage], paths: Sequence[ModelPath]) -> None:
    """Logs the models of other tools next to the packages that a run chooses from."""
    used = next((place.path for place in paths if place.is_named and packages[0].path.parent == place.path), None)
    if used is not None and (ignored := find_sources(used)):
        logger.info("ignored: models of other tools in %s: %s; select one with --model", used, ", ".join(ignored))


@contextlib.contextmanager
def _permission_errors() -> Iterator[None]:
    """Replaces the error of a folder that this user may not read."""
    try:
        yield
    except PermissionError as error:
        raise ModelError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _first_source(paths: Sequence[ModelPath], name: str | None) -> Path | None:
    """Returns the model of another tool at the first location, unless an earlier one contains packages."""
    for location in paths:
        source = find_source(location, name)
        if source is not None or has_packages(location.path):
            return source
    return None


def load_model(
    name_or_path: str | os.PathLike[str],
    *,
    stored_axes: str = "",
    unit: str | None = None,
    preset: str = "",
    changes: Mapping[str, Any] | None = None,
) -> ModelPackage:
    """Loads the metadata of a model; its network is loaded when it is run.

    Args:
        name_or_path: The path of a model package, or of a model of another tool, which is translated; or the name of a
            package in ``./models`` or of a package that is shipped with ClickSeg. A string is a path if it contains a
            slash or if a model is at that path.
        stored_axes: For models of other tools: how the training images were stored, such as ``LPS``.
        unit: For models of other tools: the unit of the first input: ``HU``, ``SUVbw`` or ``none``.
        preset: For files that contain only weights: the name of the preset.
        changes: For models of other tools: values by key, as for ``--set``.

    Raises:
        ModelError: No such model exists, the path contains several, or its metadata are invalid.
        UsageError: The argument is neither a name nor a path, or another argument has an invalid value.
    """
    path = to_path(name_or_path, "model")
    options = ImportOptions(
        parse_axes(stored_axes), parse_unit(unit or ""), parse_preset(preset), parse_changes(changes or {})
    )
    is_bare = isinstance(name_or_path, str) and path.name == name_or_path
    is_name = is_bare and path.suffix.lower() not in FILE_SUFFIXES and not is_model(path)
    paths = model_paths(None, {}) if is_name else (ModelPath(path, is_required=True, is_named=True),)
    packages = find_models(
        paths, str(name_or_path) if is_name else None, options, default_runtime_settings(os.environ).cache
    )
    if len(packages) > 1:
        names = ", ".join(package.name for package in packages)
        raise ModelError(f"{path}: expected one model package, got {len(packages)}: {names}")
    return packages[0]


def is_model(path: Path) -> bool:
    """Whether a path is a model package, or a model of another tool."""
    return is_package(path) or find_reader(path) is not None


def named_sources(paths: Sequence[ModelPath]) -> dict[str, Path]:
    """Returns the models of other tools by name that a run would find: the model at the first path, or those in it."""
    location = paths[0]
    with _permission_errors():
        if not location.is_named or is_package(location.path):
            return {}
        is_source = find_reader(location.path) is not None
        return {source_name(location.path): location.path} if is_source else find_sources(location.path)


def find_sources(folder: Path) -> dict[str, Path]:
    """Returns the models of other tools in a folder by name, without programs, which only the user may name."""
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    return {source_name(child): child for child in children if not is_package(child) and _is_data(child)}


def _is_data(path: Path) -> bool:
    """Whether a path is a model of another tool that is no program."""
    reader = find_reader(path)
    return reader is not None and not reader.is_program


def check_has_other_than_programs(paths: Sequence[ModelPath]) -> None:
    """Rejects a folder that the user names and whose only models are programs.

    Raises:
        ModelError: It contains a program, and neither model packages nor other models.
    """
    if paths[0].is_named:
        with _permission_errors():
            _check_has_other_than_programs(paths[0].path)


def _check_has_other_than_programs(path: Path) -> None:
    """Rejects a folder whose only models are programs.

    Raises:
        ModelError: It contains a program, and neither model packages nor other models.
    """
    children = sorted(path.iterdir()) if path.is_dir() and not has_packages(path) else []
    program = next((child for child in children if find_reader(child) is not None), None)
    if program is not None:
        raise ModelError(
            f"{path}: contains only a TorchScript program, which runs only if its file is named",
            hint=f"name it: -m {program}",
        )


def find_source(location: ModelPath, name: str | None) -> Path | None:
    """Returns the model of another tool that a location stands for, if any.

    Args:
        location: The location.
        name: The name of the model, if it is stated.

    Raises:
        ModelError: The location contains several, and no name is given, or only programs.
    """
    path = location.path
    if not location.is_named or is_package(path):
        return None
    if find_reader(path) is not None:
        return path
    sources = find_sources(path)
    if name is not None and name in sources:
        return sources[name]
    if not sources or has_packages(path):
        _check_has_other_than_programs(path)
        return None
    if len(sources) > 1 and name is None:
        raise ModelError(
            f"{path}: expected one model, got {len(sources)}: {', '.join(sources)}", hint="select one with --model"
        )
    return next(iter(sources.values())) if name is None else None
