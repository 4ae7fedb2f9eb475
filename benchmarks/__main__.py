"""``python -m benchmarks NAME``."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

_DATA = Path("../shared/data/fixtures")
_ENVIRONMENT = Path(".venv")
_IMAGE = "clickseg:cpu"
_BENCHMARKS = (
    "clicks",
    "cold_start",
    "container",
    "cross_validation",
    "memory_growth",
    "monai_agreement",
    "obedience",
    "one_window",
    "reading",
    "real_pet",
    "session_memory",
    "simulated_click",
    "stitching",
    "training_memory",
    "whole_body",
    "whole_job",
)
_OF_RUNS = ("cross_validation", "obedience")


def main() -> None:
    """Runs one benchmark on the folder of real DICOM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=_BENCHMARKS)
    parser.add_argument("--data", type=Path, default=_DATA, help="real DICOM, see docs/fixtures.md")
    parser.add_argument(
        "--environment",
        type=Path,
        default=_ENVIRONMENT,
        help="of cold_start and container: one of requirements-cpu.txt, by make demo",
    )
    parser.add_argument("--image", default=_IMAGE, help="of container: an image of the target cpu")
    parser.add_argument(
        "--runs", type=Path, help="of cross_validation and obedience: folder of the runs, one for each fold"
    )
    arguments = parser.parse_args()
    if arguments.name in _OF_RUNS and arguments.runs is None:
        parser.error(f"{arguments.name}: expected --runs")
    own = {
        "cold_start": [arguments.environment],
        "container": [arguments.environment, arguments.image],
        "cross_validation": [arguments.data, arguments.runs],
        "obedience": [arguments.data, arguments.runs],
    }
    load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK where that is installed
    import_module(f"benchmarks.{arguments.name}").run(*own.get(arguments.name, [arguments.data]))


if __name__ == "__main__":
    main()
