"""Trains a model: from a dataset and a configuration to a model package."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from clickseg.core.progress import Progress, no_progress
from clickseg.core.text import format_count
from clickseg.datasets.find import find_model_cases
from clickseg.datasets.folds import Fold, find_fold, make_folds, patient_name
from clickseg.training.cases import load_grid_cases
from clickseg.training.checkpoint import CASES_FOLDER, CURVES_FILE, initial_weights_digest, make_record, open_run_folder
from clickseg.training.config import TrainingConfig
from clickseg.training.network import make_network
from clickseg.training.package import write_bundle, write_curves
from clickseg.training.processes import Processes
from clickseg.training.trainer import MEAN_LOSS, Hooks, MainProcessHooks, make_run, run_epochs
from clickseg.training.validation import VALIDATION_DICE, validate

logger = logging.getLogger(__name__)


def train(
    cases: Fold,
    config: TrainingConfig,
    folder: Path,
    processes: Processes,
    batch_progress: Progress,
    case_progress: Progress = no_progress,
) -> Path:
    """Trains a network, or resumes an interrupted run, and writes the model package.

    Args:
        cases: The training cases and the held-out cases.
        config: The training configuration.
        folder: The run folder.
        processes: The processes of the run.
        batch_progress: Called after each batch.
        case_progress: Called after each case that is read.

    Returns:
        The folder of the model package.

    Raises:
        InputError: A case does not fit the model, or the folder belongs to another run.
        ModelError: The network cannot be built, or does not fit the model.
        EngineError: The device runs out of memory, or weights became infinite or NaN.
        OutputError: The folder cannot be written to.
    """
    network = make_network(config, folder, processes)
    if processes.is_main:
        initial_digest = initial_weights_digest(config, folder)
        record = make_record(config, cases.training, cases.held_out, processes.world_size, initial_digest)
        open_run_folder(folder, config, record)
        for _ in load_grid_cases((*cases.training, *cases.held_out), config, folder / CASES_FOLDER, case_progress):
            pass
    _wait_for_main(processes)
    training_cases = tuple(load_grid_cases(cases.training, config, folder / CASES_FOLDER, no_progress))
    hooks = _make_hooks(cases, config, folder, processes, batch_progress)
    run = make_run(config, network, training_cases, folder, processes, hooks)
    run_epochs(run, config)
    hooks.close()
    package = folder / config.name
    if processes.is_main:
        write_curves(run.state.history, folder / CURVES_FILE)
        summary = _summary_rows(cases, run.state.history, initial_weights_digest(config, folder))
        write_bundle(config, run.state.final_network, summary, package)
    return package


def split_cases(data: Path, config: TrainingConfig, fold: int | None, folds: int) -> Fold:
    """Returns the training cases and the held-out cases of a run.

    The split depends on the names of the cases only, not on the seed of the run. If all samples are synthetic, no cases
    are used for training.

    Args:
        data: The dataset.
        config: The training configuration, with the model.
        fold: The number of the fold that is held out; None to train on all cases.
        folds: The number of folds, if the dataset does not define the folds.

    Raises:
        InputError: The dataset does not fit the model, or has too few patients.
        UsageError: The fold does not exist.
    """
    cases = find_model_cases(data, config.model)
    split = Fold(0, cases, ()) if fold is None else find_fold(make_folds(cases, folds), fold)
    if fold is not None:
        for name, part in (("training", split.training), ("held out", split.held_out)):
            patients = {patient_name(case.name) for case in part}
            logger.info("%s: %s of %s", name, format_count(len(part), "case"), format_count(len(patients), "patient"))
    return replace(split, training=()) if config.synthesis.probability == 1 else split


def _make_hooks(cases: Fold, config: TrainingConfig, folder: Path, processes: Processes, progress: Progress) -> Hooks:
    if not processes.is_main:
        return Hooks()
    held_out = tuple(load_grid_cases(cases.held_out, config, folder / CASES_FOLDER, no_progress))
    return MainProcessHooks(
        folder, progress, lambda state: validate(config, held_out, state, processes.device), config.validate_every
    )


def _summary_rows(cases: Fold, history: Sequence[Mapping[str, float]], initial_digest: str | None) -> dict[str, str]:
    """Returns the rows of the model card about data and results."""
    rows = {"training cases": str(len(cases.training))}
    if initial_digest:
        rows["initial weights"] = f"SHA-256 {initial_digest}"
    if cases.held_out:
        rows["held-out cases"] = str(len(cases.held_out))
    if history:
        rows["final loss"] = f"{history[-1][MEAN_LOSS]:.4f}"
        for name, value in history[-1].items():
            if name.startswith(VALIDATION_DICE):
                clicks = name.removeprefix(VALIDATION_DICE).replace("_", " ")
                rows[f"held-out cases, {clicks}"] = f"Dice {value:.3f}"
    return rows


def _wait_for_main(processes: Processes) -> None:
    if processes.world_size > 1:
        torch.distributed.barrier()
