"""Makes model packages of the weights that a GPU machine has trained, in the folders that the benchmarks expect.

``RUNS/pet_lesion`` is the model of all cases, ``RUNS/pet_lesion-folds/N`` the model of fold N:
``python -m benchmarks cross_validation --runs RUNS/pet_lesion-folds``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from clickseg.core.files import write_bytes
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

_CARD = Path(__file__).parents[1] / "default-models.yaml"


def write_packages(results: Path, cases: Path, runs: Path) -> list[Path]:
    """Writes a package for each trained part except the first, and returns their folders.

    Args:
        results: The folder of the results.
        cases: The folder of the packed cases.
        runs: The folder of the packages.

    Raises:
        OutputError: A file cannot be written.
    """
    load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK if it is installed
    from clickseg.inference.engines.network import build_from_definition
    from clickseg.training.checkpoint import RECORD_FILE
    from clickseg.training.package import write_bundle
    from scripts.gpu.cases import read_cases
    from scripts.gpu.training_plan import MODALITY, MODEL, PLAN
    from scripts.gpu.weights import load_run

    folds = {packed.case.name: packed.fold for packed in read_cases(cases, MODALITY)}
    folders: list[Path] = []
    for part in PLAN:
        saved = None if part.is_synthetic else load_run(results / part.file_name)
        if saved is None:
            continue
        folder = runs / MODEL if part.held_out_fold is None else runs / f"{MODEL}-folds" / str(part.held_out_fold)
        config = part.make_config(0, dry=False, card=_CARD)
        network = build_from_definition(config.network, "network")
        saved.load_into(network)
        held_out = sorted(name for name, fold in folds.items() if fold == part.held_out_fold)
        summary = {"training cases": str(len(folds) - len(held_out)), "training": f"{saved.seconds:.0f} s on a GPU"}
        write_bundle(config, network, summary, folder / MODEL)
        write_bytes(folder / RECORD_FILE, json.dumps({"held_out": dict.fromkeys(held_out, "")}).encode())
        folders.append(folder / MODEL)
    return folders


def main() -> None:
    """Makes the model packages."""
    parser = argparse.ArgumentParser(prog="python -m scripts.gpu.package", description=__doc__)
    parser.add_argument("results", type=Path, help="the folder of the results")
    parser.add_argument("runs", type=Path, help="the folder of the packages")
    parser.add_argument("--cases", type=Path, default=Path("build/gpu-pack/cases"), help="the packed cases")
    arguments = parser.parse_args()
    for folder in write_packages(arguments.results, arguments.cases, arguments.runs):
        print(folder)


if __name__ == "__main__":
    main()
