"""``clickseg models check``: compares the labels of a model with those of MONAI's own pipeline."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from clickseg.batch.settings import RunSettings, read_settings
from clickseg.cli.run_options import run_options
from clickseg.cli.terminal import print_lines, progress_bar
from clickseg.core.errors import ModelError, UsageError
from clickseg.core.extras import CHECK_PACKAGES, check_libraries
from clickseg.evaluation.original.check import SourceBundle, comparable_package, compare_with_original
from clickseg.inference.model_sources import find_models
from clickseg.models.find import ModelPath
from clickseg.models.importers.changes import source_changes
from clickseg.models.importers.monai_bundle.reader import BundleReader
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage

_FIXED_OPTIONS = {"clicks": "none", "device": "cpu", "precision": "f32", "mirroring": "off"}
_PERCENT = 100


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code: 1 if fewer voxels are equal than expected.

    Raises:
        LibraryError: A library that runs the original pipeline is not installed.
        ClickSegError: The model or the series cannot be used, or the original pipeline fails.
    """
    if arguments.models is not None:
        raise UsageError("-m is an option of clickseg models list, not of clickseg models check")
    check_libraries(CHECK_PACKAGES, "import")
    options, worst = {**run_options(arguments), **_FIXED_OPTIONS}, 1.0
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings(arguments.data, Path(folder), None, options, os.environ)
        bundle = _find_bundle(arguments.model, arguments.source, settings.import_options)
        package = _find_package(arguments, settings)
        print_lines([f"original: {'the configuration of the bundle' if bundle else 'the description of the model'}"])
        if bundle is None:
            package, missing = comparable_package(package)
            print_lines([f"not compared: postprocessing {name}" for name in missing])
        for comparison in compare_with_original(bundle, replace(settings, model=package), progress_bar("window")):
            dice = "".join(f", Dice {name} {value:.4f}" for name, value in comparison.dice.items())
            print_lines([f"{comparison.series_uid}: {comparison.equal:.4%} of voxels have the same label{dice}"])
            worst = min(worst, comparison.equal)
    return 0 if worst * _PERCENT >= arguments.least else 1


def _find_package(arguments: argparse.Namespace, settings: RunSettings) -> ModelPackage:
    """Returns the model; what the user states about its source concerns only the source if it is given."""
    location = ModelPath(arguments.model, is_required=True, is_named=True)
    options = settings.import_options if arguments.source is None else ImportOptions()
    packages = find_models((location,), None, options, settings.runtime.cache)
    if len(packages) > 1:
        raise ModelError(f"{arguments.model}: expected one model, got {len(packages)}")
    return packages[0]


def _find_bundle(model: Path, source: Path | None, options: ImportOptions) -> SourceBundle | None:
    """Returns the bundle that is run: the source, or else the model itself; None for neither.

    Raises:
        UsageError: The source is not a bundle, or a change does not concern it.
    """
    reader, changes = BundleReader(), source_changes(options.changes)
    if source is not None and not reader.recognizes(source):
        raise UsageError(f"--source: expected the MONAI Bundle that the package was translated from, got {source}")
    if source is not None and options != ImportOptions(changes=changes):
        raise UsageError(
            "with --source, expected --set only with keys of the bundle, such as inferer#overlap, and no "
            "--stored-axes, --unit and --preset: the package is already translated"
        )
    path = next((path for path in (source, model) if path is not None and reader.recognizes(path)), None)
    return None if path is None else SourceBundle(path, changes)
