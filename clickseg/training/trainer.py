"""Assembling a run: samples, network, optimizer, and what happens after each epoch."""

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

from clickseg.clicks.simulated.regions import depth_on
from clickseg.core.device import device_of
from clickseg.core.progress import Progress
from clickseg.training.cases import GridCase
from clickseg.training.checkpoint import CHECKPOINT, State, is_begun, restore, save
from clickseg.training.config import Training
from clickseg.training.interaction import Interaction, Stepper
from clickseg.training.network import check_finite
from clickseg.training.objective import make_cast, make_inferer, make_loss, make_optimizer, make_scheduler
from clickseg.training.processes import Processes
from clickseg.training.samples import Item, Samples

logger = logging.getLogger(__name__)

Validation = Callable[[State], Mapping[str, float]]
"""Looks at cases that are held out; returns figures."""

TENSORBOARD = "tensorboard"


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is ready to begin, or to go on.

    Attributes:
        trainer: Runs it.
        state: What changes in it.
    """

    trainer: SupervisedTrainer
    state: State


def make_run(
    how: Training,
    network: torch.nn.Module,
    cases: Sequence[GridCase],
    folder: Path,
    processes: Processes,
    hooks: Hooks,
) -> Run:
    """Returns a run, at its beginning or where the checkpoint in its folder says.

    Args:
        how: What it is told.
        network: Its network as it begins.
        cases: What it learns from.
        folder: Where the checkpoint is.
        processes: Those that train together, and the device of this one.
        hooks: Who is told how it goes.

    Raises:
        InputError: The checkpoint is damaged.
    """
    state = _state(how, network, processes)
    order = Order(how, processes)
    interaction = Interaction(how, _stepper(how, state, processes.device), depth_on(device_of(str(processes.device))))
    trainer = SupervisedTrainer(
        device=processes.device,
        max_epochs=how.epochs,
        train_data_loader=_loader(how, cases, order, processes),
        epoch_length=how.steps,
        network=_together(state.network, processes),
        optimizer=state.optimizer,
        loss_function=make_loss(how.loss),
        inferer=make_inferer(how),
        iteration_update=interaction,
        decollate=False,
    )
    trainer.logger.setLevel(logging.CRITICAL)  # an error is said once, by the one who catches it
    if is_begun(folder):
        restore(state, trainer, folder / CHECKPOINT)
        logger.info("going on after epoch %d of %d", trainer.state.epoch, how.epochs)
    _attach(trainer, order, interaction, state, hooks)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: _seed(how, engine.state.epoch, processes.rank))
    return Run(trainer, state)


def _state(how: Training, network: torch.nn.Module, processes: Processes) -> State:
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    decay = how.optimization.average
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None  # type: ignore[no-untyped-call]
    optimizer = make_optimizer(how.optimization, network)
    scheduler = make_scheduler(how.optimization, optimizer, how.epochs)
    _, is_scaled = make_cast(how.optimization, processes.device)
    return State(network, average, optimizer, scheduler, torch.amp.GradScaler(processes.device.type, enabled=is_scaled))


def _stepper(how: Training, state: State, device: torch.device) -> Stepper:
    cast, _ = make_cast(how.optimization, device)
    average = state.average

    def after_step() -> None:
        if average is not None:
            average.update_parameters(state.network)

    return Stepper(cast, state.scaler, how.optimization.clip_norm, how.optimization.accumulate, after_step)


def _loader(how: Training, cases: Sequence[GridCase], order: Order, processes: Processes) -> DataLoader[Item]:
    samples = Samples(cases, how, count=how.epochs * how.steps * how.batch * processes.count)
    return DataLoader(
        samples, batch_size=how.batch, sampler=order, num_workers=how.workers, persistent_workers=how.workers > 0
    )


def _together(network: torch.nn.Module, processes: Processes) -> torch.nn.Module:
    """Returns the network of several processes, which share their gradients."""
    return network if processes.count == 1 else DistributedDataParallel(network)


def _seed(how: Training, epoch: int, rank: int) -> None:
    """Seeds what networks draw, such as dropout: for each epoch of each process, whatever was drawn before."""
    torch.manual_seed(int(np.random.default_rng([how.seed, epoch, rank]).integers(1 << 63)))


def _attach(trainer: SupervisedTrainer, order: Order, interaction: Interaction, state: State, hooks: Hooks) -> None:
    """Says what happens when; the checkpoint comes last in an epoch, and so holds all of it."""

    def begin_epoch(engine: SupervisedTrainer) -> None:
        order.epoch = engine.state.epoch - 1

    def end_epoch(engine: SupervisedTrainer) -> None:
        interaction.end_epoch(engine)
        check_finite(state.network, engine.state.epoch)
        state.scheduler.step()
        hooks.after_epoch(engine, state)

    trainer.add_event_handler(Events.EPOCH_STARTED, begin_epoch)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, hooks.after_batch)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, end_epoch)


class Order(Sampler[int]):
    """The numbers of the samples of one epoch that this process is to see."""

    def __init__(self, how: Training, processes: Processes) -> None:
        self._how, self._processes = how, processes
        self.epoch = 0

    def __len__(self) -> int:
        return self._how.steps * self._how.batch

    def __iter__(self) -> Iterator[int]:
        for step in range(self.epoch * self._how.steps, (self.epoch + 1) * self._how.steps):
            first = (step * self._processes.count + self._processes.rank) * self._how.batch
            yield from range(first, first + self._how.batch)


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
