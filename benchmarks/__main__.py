"""Runs a benchmark: ``python -m benchmarks NAME``."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

_DEFAULT_DATA = Path("../shared/data/fixtures")
_DEFAULT_ENVIRONMENT = Path(".venv")
_DEFAULT_IMAGE = "clickseg:cpu"
_BENCHMARKS = (
    "click_response",
    "clicks",
    "cold_start",
    "container",
    "cross_validation",
    "foreign_models",
    "full_pipeline",
    "memory_growth",
    "monai_agreement",
    "nnunet",
    "one_window",
    "reading",
    "real_pet",
    "session_memory",
    "simulated_click",
    "stitching",
    "training_memory",
    "whole_body",
)
_NEED_TRAINING_RUNS = ("click_response", "cross_validation")


def main() -> None:
    """Runs the benchmark that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=_BENCHMARKS)
    parser.add_argument(
        "--data", type=Path, default=_DEFAULT_DATA, help="folder of real DICOM, see docs/developers/fixtures.md"
    )
    parser.add_argument(
        "--environment",
        type=Path,
        default=_DEFAULT_ENVIRONMENT,
        help="cold_start and container: an environment of requirements-cpu.txt, as `make demo` makes it",
    )
    parser.add_argument("--image", default=_DEFAULT_IMAGE, help="container: an image of the target cpu")
    parser.add_argument(
        "--runs", type=Path, help="click_response and cross_validation: folder with one training run for each fold"
    )
    arguments = parser.parse_args()
    if arguments.name in _NEED_TRAINING_RUNS and arguments.runs is None:
        parser.error(f"{arguments.name}: expected --runs")
    special = {
        "click_response": [arguments.data, arguments.runs],
        "cold_start": [arguments.environment],
        "container": [arguments.environment, arguments.image],
        "cross_validation": [arguments.data, arguments.runs],
    }
    load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK if it is installed
    import_module(f"benchmarks.{arguments.name}").run(*special.get(arguments.name, [arguments.data]))


if __name__ == "__main__":
    main()
