"""The state of a run between two epochs: all that the rest of it depends on, in one file.

Random numbers are no part of it: those of each epoch are drawn from the seed and its number (``trainer``).
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from clickseg.errors import InputError
from clickseg.staging import write_bytes


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
