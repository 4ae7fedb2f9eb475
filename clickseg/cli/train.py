"""``clickseg train`` as the command line has it."""

from __future__ import annotations

import argparse
import os

from clickseg.cli.terminal import progress_bar, tell
from clickseg.core.extras import TRAINING, check_libraries
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime
from clickseg.inference.runtime_settings import RuntimeSettings, checked_device


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code.

    Raises:
        UsageError: The arguments do not go together.
        LibraryError: A library is missing.
        ClickSegError: As ``split_cases``, ``joined`` and ``train``.
    """
    check_libraries(TRAINING)
    from clickseg.training.config import as_yaml, read_config

    how = read_config(arguments.config or ["pet_lesion"], arguments.set)
    if arguments.print_config:
        tell(as_yaml(how).splitlines())
        return 0
    runtime = RuntimeSettings(device=checked_device(arguments.device))
    load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK where that is installed
    from clickseg.training.processes import joined
    from clickseg.training.train import split_cases, train

    cases = split_cases(arguments.data, how, arguments.fold, arguments.folds)
    with joined(os.environ, runtime.device) as processes:
        package = train(cases, how, arguments.run_folder, processes, progress_bar("batch"), progress_bar("case"))
    tell([f"model    {package}"])
    return 0
