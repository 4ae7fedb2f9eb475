"""``clickseg models check``: compares the labels of a model with those of the original pipeline."""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from clickseg.batch.settings import RunSettings, read_settings
from clickseg.cli.run_options import run_options
from clickseg.cli.terminal import print_lines, progress_bar
from clickseg.core.errors import LibraryError, ModelError, UsageError
from clickseg.core.extras import CHECK_PACKAGES, check_libraries
from clickseg.evaluation.original.check import (
    OriginalPipeline,
    bundle_pipeline,
    comparable_package,
    compare_with_original,
    nnunet_pipeline,
)
from clickseg.inference.model_readers import find_reader
from clickseg.inference.model_sources import find_models
from clickseg.models.find import ModelPath
from clickseg.models.importers.changes import source_changes
from clickseg.models.importers.monai_bundle.reader import BundleReader
from clickseg.models.importers.nnunet.choices import choose
from clickseg.models.importers.nnunet.reader import NnUNetReader
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage

_FIXED_OPTIONS = {"clicks": "none", "device": "cpu", "precision": "f32"}
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
    nnunet = _find_nnunet(arguments.model, arguments.source)
    options, worst = {**run_options(arguments), **_FIXED_OPTIONS}, 1.0
    if nnunet is None:
        options["mirroring"] = "off"  # MONAI has none
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings(arguments.data, Path(folder), None, options, os.environ)
        original, name = _find_original(arguments, settings, nnunet)
        package = _find_package(arguments, settings)
        print_lines([f"original: {name}"])
        if original is None:
            package, missing = comparable_package(package)
            print_lines([f"not compared: postprocessing {name}" for name in missing])
        for comparison in compare_with_original(original, replace(settings, model=package), progress_bar("window")):
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


def _find_nnunet(model: Path, source: Path | None) -> Path | None:
    """Returns the model of nnU-Net that is run: the source, or else the model itself; None for neither.

    Raises:
        LibraryError: nnU-Net is not installed.
    """
    paths = (path for path in (source, model) if path is not None)
    path = next((path for path in paths if isinstance(find_reader(path), NnUNetReader)), None)
    if path is not None and importlib.util.find_spec("nnunetv2") is None:
        raise LibraryError(
            "models of nnU-Net can only be checked with nnU-Net, which is not installed", hint="pip install nnunetv2"
        )
    return path


def _find_original(
    arguments: argparse.Namespace, settings: RunSettings, nnunet: Path | None
) -> tuple[OriginalPipeline | None, str]:
    """Returns the pipeline that is run, and what it is; none for a package without a source.

    Raises:
        UsageError: The source is of another format, or a change does not concern it.
    """
    options, source = settings.import_options, arguments.source
    reader, changes = BundleReader(), source_changes(options.changes)
    if source is not None and nnunet != source and not reader.recognizes(source):
        raise UsageError(
            f"--source: expected the MONAI Bundle or the model of nnU-Net that the package was translated from, "
            f"got {source}"
        )
    stated = ImportOptions(stored_axes=options.stored_axes if nnunet else "", changes=changes)
    if source is not None and options != stated:
        raise UsageError(
            "with --source, expected --set only with keys of the source, such as inferer#overlap or folds, and no "
            "--unit, no --preset, and no --stored-axes for a bundle: the package is already translated"
        )
    if nnunet is not None:
        choice = choose(nnunet, options)
        return nnunet_pipeline(choice, options, uses_mirroring=settings.runtime.mirroring), "nnU-Net's own prediction"
    path = next((path for path in (source, arguments.model) if path is not None and reader.recognizes(path)), None)
    if path is None:
        return None, "the description of the model"
    return bundle_pipeline(path, changes), "the configuration of the bundle"
