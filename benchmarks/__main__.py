"""``python -m benchmarks NAME``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import monai_agreement, real_pet

_DATA = Path("../shared/data/fixtures")
_BENCHMARKS = {"monai_agreement": monai_agreement.run, "real_pet": real_pet.run}


def main() -> None:
    """Runs one benchmark on the folder of real DICOM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(_BENCHMARKS))
    parser.add_argument("--data", type=Path, default=_DATA, help="real DICOM, see docs/fixtures.md")
    arguments = parser.parse_args()
    _BENCHMARKS[arguments.name](arguments.data)


main()
