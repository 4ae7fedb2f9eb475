"""``clickseg train``: from a dataset and a configuration to a model package."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from clickseg.core.errors import DeviceMemoryError
from clickseg.core.progress import Progress, no_progress
from clickseg.core.text import counted, first_line
from clickseg.datasets.find import find_cases_for
from clickseg.datasets.folds import Fold, fold_of, make_folds, patient_of
from clickseg.inference.engines.cuda import out_of_memory
from clickseg.training.cases import gather
from clickseg.training.checkpoint import CASES, CURVES, initial_digest, open_folder, record_of
from clickseg.training.config import Training
from clickseg.training.network import LESS_MEMORY, make_network
from clickseg.training.package import write_bundle, write_curves
from clickseg.training.processes import Processes
from clickseg.training.trainer import FirstHooks, Hooks, Run, make_run
from clickseg.training.validation import validate

logger = logging.getLogger(__name__)


def train(
    cases: Fold,
    how: Training,
    folder: Path,
    processes: Processes,
    progress: Progress,
    reading: Progress = no_progress,
) -> Path:
    """Trains a network, or goes on with a run that was ended.

    Args:
        cases: What is learnt from, and what is held out.
        how: What the run is told.
        folder: The run's folder.
        processes: Those that train together, and the device of this one.
        progress: Told after each batch.
        reading: Told after each case that is read.

    Returns:
        The folder of the model package.

    Raises:
        InputError: A case does not fit the model, or the folder holds another run.
        ModelError: The network cannot be built, or does not fit the model.
        EngineError: The device has too little memory, or weights became infinite.
        OutputError: The folder cannot be written to.
    """
    network = make_network(how, folder, processes)
    if processes.is_first:
        initial = initial_digest(how, folder)
        open_folder(folder, how, record_of(how, cases.training, cases.held_out, processes.count, initial))
        for _ in gather((*cases.training, *cases.held_out), how, folder / CASES, reading):
            pass
    _wait_for_first(processes)
    learnt = tuple(gather(cases.training, how, folder / CASES, no_progress))
    hooks = _hooks(cases, how, folder, processes, progress)
    run = make_run(how, network, learnt, folder, processes, hooks)
    go_on(run, how)
    hooks.close()
    package = folder / how.name
    if processes.is_first:
        write_curves(run.state.history, folder / CURVES)
        summary = _summary(cases, run.state.history, initial_digest(how, folder))
        write_bundle(how, run.state.best_network, summary, package)
    return package


def split_cases(data: Path, how: Training, fold: int | None, folds: int) -> Fold:
    """Returns the cases that a run learns from, and those that are held out.

    They are split by the names of the cases alone, whatever the run's seed. Where all samples are synthetic no case is
    learnt from.

    Args:
        data: The dataset.
        how: The run, with its model.
        fold: The number of the fold that is held out; None to learn from all cases.
        folds: How many folds there are, where the dataset does not say it.

    Raises:
        InputError: The dataset does not fit the model, or has too few patients.
        UsageError: There is no such fold.
    """
    files = find_cases_for(data, how.model)
    split = Fold(0, files, ()) if fold is None else fold_of(make_folds(files, folds), fold)
    if fold is not None:
        for what, cases in (("learnt from", split.training), ("held out", split.held_out)):
            patients = {patient_of(case.name) for case in cases}
            logger.info("%s: %s of %s", what, counted(len(cases), "case"), counted(len(patients), "patient"))
    return replace(split, training=()) if how.synthesis.share == 1 else split


def go_on(run: Run, how: Training) -> None:
    """Trains; a run that is over is left as it is, since to run it again would be to begin anew.

    Raises:
        DeviceMemoryError: The device has too little memory.
    """
    if run.trainer.state.epoch >= how.epochs:
        return
    try:
        run.trainer.run()
    except out_of_memory() as error:
        raise DeviceMemoryError(f"training: out of memory: {first_line(error)}", hint=LESS_MEMORY) from error


def _hooks(cases: Fold, how: Training, folder: Path, processes: Processes, progress: Progress) -> Hooks:
    if not processes.is_first:
        return Hooks()
    held_out = tuple(gather(cases.held_out, how, folder / CASES, no_progress))
    return FirstHooks(
        folder, progress, lambda state: validate(how, held_out, state, processes.device), how.validate_every
    )


def _summary(cases: Fold, history: Sequence[Mapping[str, float]], initial: str | None) -> dict[str, str]:
    rows = {"cases": str(len(cases.training))}
    if initial:
        rows["began with"] = f"weights of SHA-256 {initial}"
    if cases.held_out:
        rows["held out"] = str(len(cases.held_out))
    if history:
        rows["loss at the end"] = f"{history[-1]['loss/loss']:.4f}"
        dices = {name: value for name, value in history[-1].items() if name.startswith("dice/")}
        rows |= {f"held out, {name.removeprefix('dice/')}": f"Dice {value:.3f}" for name, value in dices.items()}
    return rows


def _wait_for_first(processes: Processes) -> None:
    if processes.count > 1:
        torch.distributed.barrier()
