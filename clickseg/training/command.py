"""``clickseg train`` as the command line has it."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec

from clickseg.errors import EngineError, UsageError
from clickseg.progress import Progress
from clickseg.training.config_files import as_yaml, read_config
from clickseg.training.part import Part

_NEEDED = ("torch", "monai", "ignite", "tensorboard", "cc3d", "edt", "matplotlib")


def train_command(arguments: argparse.Namespace, progress: Progress) -> list[str]:
    """Trains, and returns lines that say what was made.

    Raises:
        UsageError: The arguments do not go together.
        EngineError: A package is not installed.
        ClickSegError: As ``train``.
    """
    how = read_config(arguments.config or ["pet_lesion"], arguments.set)
    if arguments.print_config:
        return as_yaml(how).splitlines()
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise EngineError(f"{missing[0]} is not installed", hint="pip install 'clickseg[train]'")
    from clickseg.training.train import train

    package = train(arguments.data, arguments.run_folder, how, _part(arguments), arguments.device, os.environ, progress)
    return [f"model    {package}"]


def _part(arguments: argparse.Namespace) -> Part | None:
    if arguments.fold is None:
        return None
    if not 0 <= arguments.fold < arguments.folds:
        raise UsageError(f"--fold: expected 0 to {arguments.folds - 1}, got {arguments.fold}")
    return Part(arguments.fold, arguments.folds)
