"""What happens beside the training: figures for TensorBoard, checkpoints, the progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from monai.engines import SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch.utils.tensorboard import SummaryWriter

from clickseg.progress import Progress
from clickseg.training.checkpoint import State, save
from clickseg.training.run_folder import CHECKPOINT

Validation = Callable[[State], Mapping[str, float]]
"""Looks at cases that are held out; returns figures."""

TENSORBOARD = "tensorboard"


class Hooks:
    """Those of a process that only trains: none."""

    def after_batch(self, engine: SupervisedTrainer) -> None:
        """Is called after each batch."""

    def after_epoch(self, engine: SupervisedTrainer, state: State) -> None:
        """Is called after each epoch."""

    def close(self) -> None:
        """Is called after the last epoch."""


class FirstHooks(Hooks):
    """Those of the process that writes and tells."""

    def __init__(self, folder: Path, progress: Progress, validate: Validation, every: int) -> None:
        """Takes who is told.

        Args:
            folder: Where checkpoints and figures go.
            progress: Told after each batch.
            validate: Looks at cases that are held out.
            every: After how many epochs; 0 for never.
        """
        self._folder, self._progress, self._validate, self._every = folder, progress, validate, every
        self._writer = SummaryWriter(str(folder / TENSORBOARD))
        self._sums: dict[str, float] = {}
        self._begun = time.perf_counter()

    def after_batch(self, engine: SupervisedTrainer) -> None:
        """Adds up the losses."""
        for name in (CommonKeys.LOSS, "first", "last"):
            self._sums[name] = self._sums.get(name, 0.0) + engine.state.output[name]
        length = engine.state.epoch_length or 1
        self._progress(engine.state.iteration, length * (engine.state.max_epochs or 1))

    def after_epoch(self, engine: SupervisedTrainer, state: State) -> None:
        """Writes figures and a checkpoint."""
        epoch, length = engine.state.epoch, engine.state.epoch_length or 1
        figures = {"epoch": float(epoch), **{f"loss/{name}": total / length for name, total in self._sums.items()}}
        figures["learning rate"] = float(state.optimizer.param_groups[0]["lr"])
        if self._every and epoch % self._every == 0:
            figures.update(self._validate(state))
        for name, value in figures.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.add_scalar("seconds", time.perf_counter() - self._begun, epoch)
        self._writer.flush()
        self._sums, self._begun = {}, time.perf_counter()
        state.history.append(figures)
        save(state, engine, self._folder / CHECKPOINT)

    def close(self) -> None:
        """Closes what is open."""
        self._writer.close()
