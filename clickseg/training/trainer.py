"""Assembling a run: samples, network, optimizer, and what happens after each epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler

from clickseg.inference.device import device_of
from clickseg.simulation.depth import depth_on
from clickseg.training.checkpoint import State, restore
from clickseg.training.config import Training
from clickseg.training.grid_case import GridCase
from clickseg.training.hooks import Hooks
from clickseg.training.interaction import Interaction, Stepper
from clickseg.training.network_check import check_finite
from clickseg.training.objective import make_cast, make_inferer, make_loss, make_optimizer, make_scheduler
from clickseg.training.processes import Processes
from clickseg.training.run_folder import CHECKPOINT, is_begun
from clickseg.training.samples import Item, Samples

logger = logging.getLogger(__name__)


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
