"""Assembles a run: samples, network, optimizer, and the handlers of each batch and epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler
from torch.utils.tensorboard import SummaryWriter

from clickseg.clicks.simulated.regions import depth_function
from clickseg.core.device import array_device
from clickseg.core.errors import DeviceMemoryError
from clickseg.core.progress import Progress
from clickseg.core.text import first_line
from clickseg.inference.engines.cuda import out_of_memory_errors
from clickseg.training.cases import GridCase
from clickseg.training.checkpoint import (
    CHECKPOINT_FILE,
    TrainingState,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from clickseg.training.config import TrainingConfig
from clickseg.training.interaction import FIRST_PREDICTION, LAST_PREDICTION, Interaction, StepSettings
from clickseg.training.network import MEMORY_HINT, check_finite
from clickseg.training.objective import make_autocast, make_inferer, make_loss, make_optimizer, make_scheduler
from clickseg.training.processes import Processes
from clickseg.training.samples import Sample, SampleDataset

logger = logging.getLogger(__name__)

Validation = Callable[[TrainingState], Mapping[str, float]]
"""Validates on held-out cases and returns metrics."""

TENSORBOARD_FOLDER = "tensorboard"

MEAN_LOSS = "loss/mean"

_LOSSES = {
    MEAN_LOSS: CommonKeys.LOSS,
    f"loss/{FIRST_PREDICTION}": FIRST_PREDICTION,
    f"loss/{LAST_PREDICTION}": LAST_PREDICTION,
}
"""The losses among the metrics of an epoch, and their keys in the output of the engine."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A run that can be started or resumed.

    Attributes:
        trainer: The engine of the run.
        state: The state of the run.
    """

    trainer: SupervisedTrainer
    state: TrainingState


def make_run(
    config: TrainingConfig,
    network: torch.nn.Module,
    cases: Sequence[GridCase],
    folder: Path,
    processes: Processes,
    hooks: Hooks,
) -> TrainingRun:
    """Returns a run at its start, or at the state of the checkpoint in its folder.

    Args:
        config: The training configuration.
        network: The network with its initial weights.
        cases: The training cases.
        folder: The run folder, with the checkpoint if there is one.
        processes: The processes of the run.
        hooks: Called after each batch and each epoch.

    Raises:
        InputError: The checkpoint is damaged.
    """
    state = _make_state(config, network, processes)
    sampler = EpochSampler(config, processes)
    depth = depth_function(array_device(str(processes.device)))
    interaction = Interaction(config, _make_step_settings(config, state, processes.device), depth)
    trainer = SupervisedTrainer(
        device=processes.device,
        max_epochs=config.epochs,
        train_data_loader=_make_loader(config, cases, sampler, processes),
        epoch_length=config.steps_per_epoch,
        network=_distribute(state.network, processes),
        optimizer=state.optimizer,
        loss_function=make_loss(config.loss),
        inferer=make_inferer(config),
        iteration_update=interaction,
        decollate=False,
    )
    trainer.logger.setLevel(logging.CRITICAL)  # errors are reported once, by the caller
    if has_checkpoint(folder):
        load_checkpoint(state, trainer, folder / CHECKPOINT_FILE)
        logger.info("resuming after epoch %d of %d", trainer.state.epoch, config.epochs)
    _attach_handlers(trainer, sampler, interaction, state, hooks)
    trainer.add_event_handler(
        Events.EPOCH_STARTED, lambda engine: _seed_epoch(config, engine.state.epoch, processes.rank)
    )
    return TrainingRun(trainer, state)


def run_epochs(run: TrainingRun, config: TrainingConfig) -> None:
    """Runs the remaining epochs; a finished run is not changed, because the engine would start from the first epoch.

    Raises:
        DeviceMemoryError: The device runs out of memory.
    """
    if run.trainer.state.epoch >= config.epochs:
        return
    try:
        run.trainer.run()
    except out_of_memory_errors() as error:
        raise DeviceMemoryError(f"training: out of memory: {first_line(error)}", hint=MEMORY_HINT) from error


def _make_state(config: TrainingConfig, network: torch.nn.Module, processes: Processes) -> TrainingState:
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    decay = config.optimization.ema_decay
    ema = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None  # type: ignore[no-untyped-call]
    optimizer = make_optimizer(config.optimization, network)
    scheduler = make_scheduler(config.optimization, optimizer, config.epochs)
    _, is_scaled = make_autocast(config.optimization, processes.device)
    scaler = torch.amp.GradScaler(processes.device.type, enabled=is_scaled)
    return TrainingState(network, ema, optimizer, scheduler, scaler)


def _make_step_settings(config: TrainingConfig, state: TrainingState, device: torch.device) -> StepSettings:
    autocast, _ = make_autocast(config.optimization, device)
    ema = state.ema

    def update_ema() -> None:
        if ema is not None:
            ema.update_parameters(state.network)

    optimization = config.optimization
    return StepSettings(autocast, state.scaler, optimization.clip_norm, optimization.accumulation_steps, update_ema)


def _make_loader(
    config: TrainingConfig, cases: Sequence[GridCase], sampler: EpochSampler, processes: Processes
) -> DataLoader[Sample]:
    count = config.epochs * config.steps_per_epoch * config.batch_size * processes.world_size
    return DataLoader(
        SampleDataset(cases, config, count=count),
        batch_size=config.batch_size,
        sampler=sampler,
        num_workers=config.num_workers,
        persistent_workers=config.num_workers > 0,
    )


def _distribute(network: torch.nn.Module, processes: Processes) -> torch.nn.Module:
    """Returns the network; if there are several processes, it averages the gradients of all of them."""
    return network if processes.world_size == 1 else DistributedDataParallel(network)


def _seed_epoch(config: TrainingConfig, epoch: int, rank: int) -> None:
    """Seeds the random numbers of networks, such as dropout, for each epoch of each process.

    They do not depend on earlier epochs, so that a resumed run draws the same numbers.
    """
    torch.manual_seed(int(np.random.default_rng([config.seed, epoch, rank]).integers(1 << 63)))


def _attach_handlers(
    trainer: SupervisedTrainer, sampler: EpochSampler, interaction: Interaction, state: TrainingState, hooks: Hooks
) -> None:
    """Attaches the handlers of events; the hooks, which write the checkpoint, are called last in an epoch."""

    def start_epoch(engine: SupervisedTrainer) -> None:
        sampler.epoch = engine.state.epoch - 1

    def end_epoch(engine: SupervisedTrainer) -> None:
        interaction.end_epoch(engine)
        check_finite(state.network, engine.state.epoch)
        state.scheduler.step()
        hooks.after_epoch(engine, state)

    trainer.add_event_handler(Events.EPOCH_STARTED, start_epoch)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, hooks.after_batch)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, end_epoch)


class EpochSampler(Sampler[int]):
    """The numbers of the samples of this process in one epoch.

    Attributes:
        epoch: The epoch, from 0.
    """

    def __init__(self, config: TrainingConfig, processes: Processes) -> None:
        self._config, self._processes = config, processes
        self.epoch = 0

    def __len__(self) -> int:
        return self._config.steps_per_epoch * self._config.batch_size

    def __iter__(self) -> Iterator[int]:
        steps, batch_size = self._config.steps_per_epoch, self._config.batch_size
        for step in range(self.epoch * steps, (self.epoch + 1) * steps):
            first = (step * self._processes.world_size + self._processes.rank) * batch_size
            yield from range(first, first + batch_size)


class Hooks:
    """The hooks of a process that only trains: they do nothing."""

    def after_batch(self, engine: SupervisedTrainer) -> None:
        """Called after each batch."""

    def after_epoch(self, engine: SupervisedTrainer, state: TrainingState) -> None:
        """Called after each epoch."""

    def close(self) -> None:
        """Called after the last epoch."""


class MainProcessHooks(Hooks):
    """The hooks of the process of rank 0: progress, metrics, validation and checkpoints."""

    def __init__(self, folder: Path, progress: Progress, validate: Validation, validate_every: int) -> None:
        """Opens the TensorBoard log.

        Args:
            folder: The run folder, for checkpoints and metrics.
            progress: Called after each batch.
            validate: Validates on held-out cases.
            validate_every: The number of epochs between two validations; 0 for no validation.
        """
        self._folder, self._progress = folder, progress
        self._validate, self._validate_every = validate, validate_every
        self._writer = SummaryWriter(str(folder / TENSORBOARD_FOLDER))
        self._sums: dict[str, float] = {}
        self._epoch_start = time.perf_counter()

    def after_batch(self, engine: SupervisedTrainer) -> None:
        """Adds the losses of the batch to the sums of the epoch."""
        for name, key in _LOSSES.items():
            self._sums[name] = self._sums.get(name, 0.0) + engine.state.output[key]
        length = engine.state.epoch_length or 1
        self._progress(engine.state.iteration, length * (engine.state.max_epochs or 1))

    def after_epoch(self, engine: SupervisedTrainer, state: TrainingState) -> None:
        """Writes metrics and a checkpoint."""
        epoch, length = engine.state.epoch, engine.state.epoch_length or 1
        metrics = {"epoch": float(epoch), **{name: total / length for name, total in self._sums.items()}}
        metrics["learning_rate"] = float(state.optimizer.param_groups[0]["lr"])
        if self._validate_every and epoch % self._validate_every == 0:
            metrics.update(self._validate(state))
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.add_scalar("epoch_seconds", time.perf_counter() - self._epoch_start, epoch)
        self._writer.flush()
        self._sums, self._epoch_start = {}, time.perf_counter()
        state.history.append(metrics)
        save_checkpoint(state, engine, self._folder / CHECKPOINT_FILE)

    def close(self) -> None:
        """Closes the TensorBoard log."""
        self._writer.close()
