"""The folder of a run: what it was told, what it learnt from, and where it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from clickseg.core.version import __version__
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.digest import digests_of
from clickseg.engines.torch_engine import STATE_DICT
from clickseg.errors import InputError, OutputError
from clickseg.models.package import load_package
from clickseg.staging import write_bytes
from clickseg.training.config import Training
from clickseg.training.config_files import as_yaml

CHECKPOINT = "checkpoint.pt"
CONFIG = "config.yaml"
RECORD = "run.json"
CASES = "cases"
CURVES = "curves.png"

_PACKAGES = ("torch", "monai", "numpy")


def open_folder(folder: Path, how: Training, record: Mapping[str, object]) -> None:
    """Begins a run in a folder, or checks that the one that is there is the same.

    Args:
        folder: The folder.
        how: What the run is told.
        record: What it learns from, and with which versions.

    Raises:
        InputError: The folder holds another run.
        OutputError: The folder cannot be written to.
    """
    contents = {CONFIG: as_yaml(how), RECORD: json.dumps(record, indent=2) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    for name, content in contents.items():
        path = folder / name
        if path.exists() and path.read_text() != content:
            other = "configuration" if name == CONFIG else "dataset, seed, version, beginning or number of processes"
            raise InputError(
                f"{path}: a run with another {other}",
                hint="name another folder with -o; the same command as before goes on with this run",
            )
    for name, content in contents.items():
        write_bytes(folder / name, content.encode())


def is_begun(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return (folder / CHECKPOINT).is_file()


def initial_digest(how: Training, folder: Path) -> str | None:
    """Returns the SHA-256 of the weights that a run begins with, or began with: it goes on without them.

    Raises:
        ModelError: There are none where it begins.
    """
    if how.initial is None:
        return None
    if is_begun(folder) and not Path(how.initial).exists():
        began: str | None = json.loads((folder / RECORD).read_text()).get("initial")
        return began
    return load_package(Path(how.initial)).weights(STATE_DICT).sha256


def record_of(
    how: Training, learnt: Sequence[CaseFiles], held_out: Sequence[CaseFiles], processes: int, initial: str | None
) -> dict[str, object]:
    """Returns what decides a run beside its configuration: versions, seed, processes, and the digests of all files.

    Args:
        how: What the run is told.
        learnt: The cases that it learns from.
        held_out: Those that it does not.
        processes: How many train together.
        initial: The digest of the weights that it begins with.
    """
    return {
        "clickseg": __version__,
        **{name: version(name) for name in _PACKAGES},
        "seed": how.seed,
        "processes": processes,
        **({"initial": initial} if initial else {}),
        "learnt_from": dict(digests_of(learnt).cases),
        "held_out": dict(digests_of(held_out).cases),
    }
