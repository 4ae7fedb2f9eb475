"""The run folder: the configuration, a record of data and versions, and the checkpoint of the last complete epoch.

The checkpoint is one file with the complete state of the run. It contains no state of random number generators: each
epoch seeds them again, from the seed and the number of the epoch (``trainer``).
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
from clickseg.datasets.case import CaseFiles, compute_digests
from clickseg.inference.engines.torch_engine import STATE_DICT
from clickseg.models.package import load_package
from clickseg.training.config import TrainingConfig, config_to_yaml, parse_yaml
from clickseg.training.renamed_keys import check_renamed_keys

CHECKPOINT_FILE = "checkpoint.pt"

CONFIG_FILE = "config.yaml"

RECORD_FILE = "run.json"

CASES_FOLDER = "cases"

CURVES_FILE = "curves.png"

_RECORDED_LIBRARIES = ("torch", "monai", "numpy")


@dataclass(slots=True)
class TrainingState:
    """The state of a run.

    Attributes:
        network: The network that is trained.
        ema: The exponential moving average of its weights; None if it is disabled.
        optimizer: The optimizer.
        scheduler: The learning-rate scheduler.
        scaler: The loss scaler of mixed precision.
        history: The metrics of each epoch.
    """

    network: torch.nn.Module
    ema: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    scaler: torch.amp.GradScaler
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def final_network(self) -> torch.nn.Module:
        """The network for validation and the model package: with averaged weights, if they are enabled."""
        return self.network if self.ema is None else self.ema.module


def save_checkpoint(state: TrainingState, trainer: SupervisedTrainer, path: Path) -> None:
    """Writes the state at the end of an epoch; if the process is killed, the previous checkpoint remains.

    Raises:
        OutputError: The file cannot be written.
    """
    content = {name: component.state_dict() for name, component in _components(state).items()}
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


def load_checkpoint(state: TrainingState, trainer: SupervisedTrainer, path: Path) -> None:
    """Restores the state and the epoch of a run from a checkpoint.

    Raises:
        InputError: The file is damaged, or belongs to another run.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        for name, component in _components(state).items():
            if saved[name]:  # the state of a disabled scaler is empty
                component.load_state_dict(saved[name])
        state.history[:] = saved["history"]
    except (OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{path.name}: damaged, or from another run: {type(error).__name__}") from error
    trainer.state.epoch = saved["epoch"]
    trainer.state.iteration = saved["epoch"] * trainer.state.epoch_length


def _components(state: TrainingState) -> dict[str, Any]:
    components = {
        "network": state.network,
        "optimizer": state.optimizer,
        "scheduler": state.scheduler,
        "scaler": state.scaler,
    }
    return components if state.ema is None else {**components, "ema": state.ema}


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder contains a checkpoint to resume from."""
    return (folder / CHECKPOINT_FILE).is_file()


def open_run_folder(folder: Path, config: TrainingConfig, record: Mapping[str, object]) -> None:
    """Creates a run folder, or checks that an existing folder belongs to the same run.

    Args:
        folder: The folder.
        config: The training configuration.
        record: The data and versions of the run, see ``make_record``.

    Raises:
        InputError: The folder belongs to another run.
        OutputError: The folder cannot be written to.
    """
    contents = {CONFIG_FILE: config_to_yaml(config), RECORD_FILE: json.dumps(record, indent=2) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    for name, content in contents.items():
        path = folder / name
        if path.exists() and path.read_text() != content:
            _raise_other_run(path)
    for name, content in contents.items():
        write_bytes(folder / name, content.encode())


def _raise_other_run(path: Path) -> None:
    difference = "dataset, seed, version, initial weights or number of processes"
    if path.name == CONFIG_FILE:
        saved = parse_yaml(path.read_bytes(), str(path))
        if isinstance(saved, Mapping):
            hint = "the run is from an older version of ClickSeg: name another folder with -o"
            check_renamed_keys(saved, str(path), hint)
        difference = "configuration"
    raise InputError(
        f"{path}: the folder contains a run with another {difference}",
        hint="name another folder with -o, or repeat the command of this run to resume it",
    )


def initial_weights_digest(config: TrainingConfig, folder: Path) -> str | None:
    """Returns the SHA-256 of the initial weights; None if they are random.

    A run that has a checkpoint does not need the initial weights any more: then the digest is read from its record.

    Raises:
        ModelError: The initial weights are missing, and the run has no checkpoint.
    """
    if config.initial_weights is None:
        return None
    if has_checkpoint(folder) and not Path(config.initial_weights).exists():
        recorded: str | None = json.loads((folder / RECORD_FILE).read_text()).get("initial_weights")
        return recorded
    return load_package(Path(config.initial_weights)).verify_weights(STATE_DICT).sha256


def make_record(
    config: TrainingConfig,
    training: Sequence[CaseFiles],
    held_out: Sequence[CaseFiles],
    world_size: int,
    initial_digest: str | None,
) -> dict[str, object]:
    """Returns everything that determines a run in addition to its configuration, for ``run.json``.

    These are versions, the number of processes, and the digests of all files.

    Args:
        config: The training configuration.
        training: The training cases.
        held_out: The held-out cases.
        world_size: The number of processes.
        initial_digest: The SHA-256 of the initial weights; None if they are random.
    """
    return {
        "clickseg": __version__,
        **{name: version(name) for name in _RECORDED_LIBRARIES},
        "seed": config.seed,
        "processes": world_size,
        **({"initial_weights": initial_digest} if initial_digest else {}),
        "training": dict(compute_digests(training).cases),
        "held_out": dict(compute_digests(held_out).cases),
    }
