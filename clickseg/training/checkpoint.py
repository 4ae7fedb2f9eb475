"""The folder of a run: what it was told, what it learnt from, and its state between two epochs.

The state is all that the rest of the run depends on, in one file. Random numbers are no part of it: those of each epoch
are drawn from the seed and its number (``trainer``).
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from clickseg.core.errors import InputError, OutputError
from clickseg.core.files import write_bytes
from clickseg.core.version import __version__
from clickseg.datasets.case import CaseFiles, digests_of
from clickseg.inference.engines.torch_engine import STATE_DICT
from clickseg.models.package import load_package
from clickseg.training.config import Training, as_yaml

CHECKPOINT = "checkpoint.pt"

CONFIG = "config.yaml"

RECORD = "run.json"

CASES = "cases"

CURVES = "curves.png"

_PACKAGES = ("torch", "monai", "numpy")


@dataclass(slots=True)
class State:
    """What changes in a run.

    Attributes:
        network: The network, as it is trained.
        average: The running average of its weights; None where none is kept.
        optimizer: The optimizer.
        scheduler: What sets the learning rate.
        scaler: What scales losses.
        history: The figures of each epoch.
    """

    network: torch.nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    scaler: torch.amp.GradScaler
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def best_network(self) -> torch.nn.Module:
        """The network that the run gives: that of the average weights, where they are kept."""
        return self.network if self.average is None else self.average.module


def save(state: State, trainer: SupervisedTrainer, path: Path) -> None:
    """Writes the state at the end of an epoch; a kill leaves the one before.

    Raises:
        OutputError: It cannot be written.
    """
    content = {name: part.state_dict() for name, part in _parts(state).items()}
    buffer = io.BytesIO()
    torch.save(
        {
            **content,
            "history": state.history,
            "epoch": trainer.state.epoch,
        },
        buffer,
    )
    write_bytes(path, buffer.getvalue())


def restore(state: State, trainer: SupervisedTrainer, path: Path) -> None:
    """Goes on from a state that was saved.

    Raises:
        InputError: The file is damaged, or of another run.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in _parts(state).items():
            if saved[name]:  # a scaler that is switched off has no state
                part.load_state_dict(saved[name])
        state.history[:] = saved["history"]
    except (OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{path.name}: damaged, or of another run: {type(error).__name__}") from error
    trainer.state.epoch = saved["epoch"]
    trainer.state.iteration = saved["epoch"] * trainer.state.epoch_length


def _parts(state: State) -> dict[str, Any]:
    parts = {
        "network": state.network,
        "optimizer": state.optimizer,
        "scheduler": state.scheduler,
        "scaler": state.scaler,
    }
    return parts if state.average is None else {**parts, "average": state.average}


def is_begun(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return (folder / CHECKPOINT).is_file()


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
