"""``clickseg models check``: compares the labels of a model with those of MONAI's own pipeline."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from clickseg.batch.settings import read_settings
from clickseg.cli.run_options import run_options
from clickseg.cli.terminal import print_lines, progress_bar
from clickseg.core.errors import ModelError, UsageError
from clickseg.core.extras import CHECK_PACKAGES, check_libraries
from clickseg.inference.model_sources import find_models
from clickseg.models.find import ModelPath
from clickseg.models.importers.bundle import BundleReader

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
    from clickseg.evaluation.original.check import compare_with_original

    bundle, worst = _find_bundle(arguments.model, arguments.source), 1.0
    options = {**run_options(arguments), **_FIXED_OPTIONS, "postprocessing": "on" if bundle else "off"}
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings(arguments.data, Path(folder), None, options, os.environ)
        location = ModelPath(arguments.model, is_required=True, is_named=True)
        packages = find_models((location,), None, settings.import_options, settings.runtime.cache)
        if len(packages) > 1:
            raise ModelError(f"{arguments.model}: expected one model, got {len(packages)}")
        print_lines([f"original: {'the configuration of the bundle' if bundle else 'the description of the model'}"])
        for comparison in compare_with_original(bundle, replace(settings, model=packages[0]), progress_bar("window")):
            dice = "".join(f", Dice {name} {value:.4f}" for name, value in comparison.dice.items())
            print_lines([f"{comparison.series_uid}: {comparison.equal:.4%} of voxels have the same label{dice}"])
            worst = min(worst, comparison.equal)
    return 0 if worst * _PERCENT >= arguments.least else 1


def _find_bundle(model: Path, source: Path | None) -> Path | None:
    """Returns the bundle whose own configuration is run: the source, or else the model itself; None for neither."""
    reader = BundleReader()
    if source is not None and not reader.recognizes(source):
        raise UsageError(f"--source: expected the MONAI Bundle that the package was translated from, got {source}")
    return next((path for path in (source, model) if path is not None and reader.recognizes(path)), None)
