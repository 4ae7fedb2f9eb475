"""Collects what a GPU machine lacks: wheels, training cases, and the weights of earlier runs."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

WHEELS_FOLDER = "wheels"

MAX_PACK_BYTES = 48 << 20

_HERE = Path(__file__).parent
_REPOSITORY = _HERE.parents[1]
_REQUIREMENTS = _HERE / "requirements.txt"

_PYTHON_VERSION = "3.12"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

_ON_THE_MACHINE = ("numpy", "scipy", "numba", "filelock", "packaging", "pillow", "psutil", "PyYAML", "tqdm")
"""Packages of the machine that the check installs; torch and packages that need it are too large for it."""

_IMPORTED_MODULES = (
    "clickseg.session.session",
    "clickseg.training.config",
    "edt",
    "jpeg_ls",
    "nibabel",
    "openjpeg",
    "scripts.gpu.stages",
    "surface_distance",
)
"""Modules that need no torch; together they import all wheels except those of MONAI and ignite."""


def write_pack(data: Path, results: Path | None, folder: Path) -> None:
    """Writes a pack.

    Args:
        data: The dataset of the default models.
        results: The results of the last run, to continue it; None to start again.
        folder: The folder of the pack, which is replaced.

    Raises:
        SystemExit: The pack is too large.
        subprocess.CalledProcessError: A wheel cannot be downloaded.
        InputError: A case cannot be read.
    """
    load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK if it is installed
    from scripts.gpu.cases import CASES_FOLDER, write_cases
    from scripts.gpu.results import read_rows
    from scripts.gpu.train import RESULT
    from scripts.gpu.training_plan import MODALITY, files_to_continue, trained_seconds
    from scripts.gpu.weights import WEIGHTS_FOLDER

    shutil.rmtree(folder, ignore_errors=True)
    _download_wheels(folder / WHEELS_FOLDER)
    write_cases(data, folder / CASES_FOLDER, MODALITY if results else None)
    if results:
        (folder / WEIGHTS_FOLDER).mkdir()
        for name in (RESULT, *files_to_continue(trained_seconds(read_rows(results / RESULT)))):
            shutil.copy(results / name, folder / WEIGHTS_FOLDER)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_PACK_BYTES:
        raise SystemExit(f"{folder}: expected at most {MAX_PACK_BYTES >> 20} MiB, got {size / (1 << 20):.1f} MiB")
    sys.stdout.write(f"{folder}: {size / (1 << 20):.1f} MiB\n")


def check_imports(python: Path, folder: Path) -> None:
    """Imports the wheels of a pack with the Python version of the machine, in a new environment without torch.

    Args:
        python: A Python of this version.
        folder: The folder of the pack.

    Raises:
        subprocess.CalledProcessError: A package cannot be installed or imported.
    """
    with tempfile.TemporaryDirectory() as environment:
        _run([python, "-m", "venv", environment])
        installed = Path(environment, "bin", "python")
        pip: list[str | Path] = [installed, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([*pip, *_ON_THE_MACHINE])
        _run([*pip, "--no-index", "--no-deps", *sorted((folder / WHEELS_FOLDER).glob("*.whl"))])
        _run([installed, "-c", f"import {', '.join(_IMPORTED_MODULES)}"])
    sys.stdout.write(f"Python {_PYTHON_VERSION} imports the wheels\n")


def _download_wheels(folder: Path) -> None:
    platforms = [argument for platform in _PLATFORMS for argument in ("--platform", platform)]
    options = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", _PYTHON_VERSION]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    _run([*pip, *options, *platforms, "--dest", folder, "--requirement", _REQUIREMENTS])


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run([str(word) for word in command], cwd=_REPOSITORY, check=True)


def main() -> None:
    """Writes a pack and checks it."""
    parser = argparse.ArgumentParser(prog="scripts/gpu/pack", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/sts"), help="the dataset of the default models"
    )
    parser.add_argument("--continue", type=Path, dest="results", help="the results of the last run, to continue it")
    parser.add_argument("--output", type=Path, default=Path("build/gpu-pack"), help="the folder of the pack")
    parser.add_argument(
        "--python", type=Path, default=Path(f"python{_PYTHON_VERSION}"), help="a Python of this version"
    )
    arguments = parser.parse_args()
    write_pack(arguments.data, arguments.results, arguments.output)
    check_imports(arguments.python, arguments.output)


if __name__ == "__main__":
    main()
