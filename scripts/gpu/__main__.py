"""Runs stages: ``python -m scripts.gpu all``, as ``scripts/gpu/run`` does, or one of them in this process."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from clickseg.inference.engines.cuda_runtime import load_cuda_runtime
from scripts.gpu.results import StageOptions
from scripts.gpu.stages import STAGES, run_stages


def main() -> int:
    """Runs the stages that the command line names, and returns the exit code."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(prog="python -m scripts.gpu", description=__doc__)
    parser.add_argument("stages", nargs="+", choices=["all", *names], help="all, or one stage; several: after all")
    parser.add_argument("--pack", type=Path, required=True, help="the folder that scripts/gpu/pack wrote")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the result files")
    parser.add_argument("--seconds", type=float, default=0.0, help="one stage: its time limit")
    parser.add_argument("--dry", action="store_true", help="test the stages on a CPU, with small sizes")
    arguments = parser.parse_args()
    options = StageOptions(arguments.pack, arguments.output, arguments.seconds, arguments.dry)
    first, *others = arguments.stages
    if first == "all":
        return run_stages(others, options)
    start = time.monotonic()
    load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK if it is installed
    stage = import_module(f"scripts.gpu.{first}")
    import_s = time.monotonic() - start  # up to 20 s on a machine that has just been started
    stage.run(replace(options, seconds=options.seconds - import_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
