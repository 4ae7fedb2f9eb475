"""``clickseg train`` as the command line has it."""

from __future__ import annotations

import argparse
import os

from clickseg.cuda_runtime import load_cuda_runtime
from clickseg.inference.runtime_settings import RuntimeSettings, checked_device
from clickseg.libraries import TRAINING, check_libraries
from clickseg.progress import Progress
from clickseg.training.part import Part


def train_command(arguments: argparse.Namespace, progress: Progress, reading: Progress) -> list[str]:
    """Trains, and returns lines that say what was made.

    Args:
        arguments: What the command line says.
        progress: Told after each batch.
        reading: Told after each case that is read.

    Raises:
        UsageError: The arguments do not go together.
        LibraryError: A library is missing.
        ClickSegError: As ``train``.
    """
    check_libraries(TRAINING)
    from clickseg.training.config_files import as_yaml, read_config

    how, part = read_config(arguments.config or ["pet_lesion"], arguments.set), _part(arguments)
    if arguments.print_config:
        return as_yaml(how).splitlines()
    runtime = RuntimeSettings(device=checked_device(arguments.device))
    load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK where that is installed
    from clickseg.training.train import train

    package = train(arguments.data, arguments.run_folder, how, part, runtime, os.environ, progress, reading)
    return [f"model    {package}"]


def _part(arguments: argparse.Namespace) -> Part | None:
    return None if arguments.fold is None else Part(arguments.fold, arguments.folds)
