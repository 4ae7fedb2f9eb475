"""``python -m benchmarks NAME``."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

_DATA = Path("../shared/data/fixtures")
_BENCHMARKS = ("memory_growth", "monai_agreement", "one_window", "reading", "real_pet", "stitching", "whole_job")


def main() -> None:
    """Runs one benchmark on the folder of real DICOM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=_BENCHMARKS)
    parser.add_argument("--data", type=Path, default=_DATA, help="real DICOM, see docs/fixtures.md")
    arguments = parser.parse_args()
    import_module(f"benchmarks.{arguments.name}").run(arguments.data)


if __name__ == "__main__":
    main()
