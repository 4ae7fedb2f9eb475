"""``clickseg train``: trains a model on labelled cases with simulated clicks."""

from __future__ import annotations

import argparse
import os

from clickseg.cli.terminal import print_lines, progress_bar
from clickseg.core.extras import TRAINING_PACKAGES, check_libraries
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime
from clickseg.inference.runtime_settings import RuntimeSettings, parse_device


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code.

    Raises:
        UsageError: An argument is invalid.
        LibraryError: A library of the extra ``train`` is not installed.
        ClickSegError: The configuration or a case is invalid, or the training failed.
    """
    check_libraries(TRAINING_PACKAGES)
    from clickseg.training.config import config_to_yaml, read_config

    config = read_config(arguments.config or ["pet_lesion"], arguments.set)
    if arguments.print_config:
        print_lines(config_to_yaml(config).splitlines())
        return 0
    runtime = RuntimeSettings(device=parse_device(arguments.device))
    load_cuda_runtime()  # before MONAI, which imports the MONAI Deploy App SDK if it is installed
    from clickseg.training.processes import join_processes
    from clickseg.training.train import split_cases, train

    cases = split_cases(arguments.data, config, arguments.fold, arguments.folds)
    with join_processes(os.environ, runtime.device) as processes:
        package = train(cases, config, arguments.run_folder, processes, progress_bar("batch"), progress_bar("case"))
    print_lines([f"model    {package}"])
    return 0
