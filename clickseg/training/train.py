"""``clickseg train``: from a dataset and a configuration to a model package."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from clickseg.datasets.case import CaseFiles
from clickseg.datasets.find import find_cases_for
from clickseg.datasets.folds import Fold, fold_of, make_folds, patient_of
from clickseg.engines.device_arrays import out_of_memory
from clickseg.errors import DeviceMemoryError
from clickseg.inference.runtime_settings import RuntimeSettings
from clickseg.progress import Progress, no_progress
from clickseg.training.bundle import write_bundle
from clickseg.training.config import Training
from clickseg.training.curves import write_curves
from clickseg.training.gathering import gather
from clickseg.training.hooks import FirstHooks, Hooks
from clickseg.training.network import make_network
from clickseg.training.network_check import LESS_MEMORY
from clickseg.training.part import Part
from clickseg.training.processes import Processes, joined
from clickseg.training.run_folder import CASES, CURVES, initial_digest, open_folder, record_of
from clickseg.training.trainer import Run, make_run
from clickseg.training.validation import validate
from clickseg.wording import counted, first_line

logger = logging.getLogger(__name__)


def train(
    data: Path,
    folder: Path,
    how: Training,
    part: Part | None,
    runtime: RuntimeSettings,
    environ: Mapping[str, str],
    progress: Progress,
    reading: Progress = no_progress,
) -> Path:
    """Trains a network, or goes on with a run that was ended.

    Args:
        data: The dataset.
        folder: The run's folder.
        how: What it is told.
        part: What is held out; None to learn from all cases.
        runtime: The device; torch trains, in the precision of the configuration.
        environ: The environment, with what ``torchrun`` says.
        progress: Told after each batch.
        reading: Told after each case that is read.

    Returns:
        The folder of the model package.

    Raises:
        InputError: The dataset does not fit the model, or the folder holds another run.
        ModelError: The network cannot be built, or does not fit the model.
        EngineError: There is no such device, it has too little memory, or weights became infinite.
        OutputError: The folder cannot be written to.
    """
    cases = _learnt(_fold(find_cases_for(data, how.model), part), how)
    package = folder / how.name
    with joined(environ, runtime.device) as processes:
        network = make_network(how, folder, processes)
        if processes.is_first:
            initial = initial_digest(how, folder)
            open_folder(folder, how, record_of(how, cases.training, cases.held_out, processes.count, initial))
            for _ in gather((*cases.training, *cases.held_out), how, folder / CASES, reading):
                pass
        _wait_for_first(processes)
        _run(cases, how, network, folder, processes, progress, package)
    return package


def _fold(files: Sequence[CaseFiles], part: Part | None) -> Fold:
    """Returns what is learnt from and what is held out: by the names of the cases alone, whatever the run's seed."""
    if part is None:
        return Fold(0, tuple(files), ())
    fold = fold_of(make_folds(files, part.folds), part.fold)
    for what, cases in (("learnt from", fold.training), ("held out", fold.held_out)):
        patients = {patient_of(case.name) for case in cases}
        logger.info("%s: %s of %s", what, counted(len(cases), "case"), counted(len(patients), "patient"))
    return fold


def _learnt(fold: Fold, how: Training) -> Fold:
    """Returns a fold without the cases that no sample is of, so that no record says that they were learnt from."""
    return replace(fold, training=()) if how.synthesis.share == 1 else fold


def _run(
    cases: Fold,
    how: Training,
    network: torch.nn.Module,
    folder: Path,
    processes: Processes,
    progress: Progress,
    package: Path,
) -> None:
    learnt = tuple(gather(cases.training, how, folder / CASES, no_progress))
    held_out = tuple(gather(cases.held_out, how, folder / CASES, no_progress))
    if not processes.is_first:
        go_on(make_run(how, network, learnt, folder, processes, Hooks()), how)
        return
    hooks = FirstHooks(
        folder, progress, lambda state: validate(how, held_out, state, processes.device), how.validate_every
    )
    run = make_run(how, network, learnt, folder, processes, hooks)
    go_on(run, how)
    hooks.close()
    write_curves(run.state.history, folder / CURVES)
    summary = _summary(cases, run.state.history, initial_digest(how, folder))
    write_bundle(how, run.state.best_network, summary, package)


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
