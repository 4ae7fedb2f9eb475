"""Trains on a GPU until a time limit, and continues where the last run ended.

Only averaged weights in f16 and counters are kept: an optimizer finds its state again within some steps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import prod
from pathlib import Path
from shutil import disk_usage

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer

from clickseg.core.machine import processor_count
from clickseg.training.cases import GridCase
from clickseg.training.checkpoint import TrainingState
from clickseg.training.config import TrainingConfig
from clickseg.training.network import check_finite, make_network
from clickseg.training.processes import Processes
from clickseg.training.trainer import Hooks, make_run, run_epochs
from scripts.gpu.cases import CASES_FOLDER, read_cases
from scripts.gpu.results import Row, StageOptions, read_rows, write_rows
from scripts.gpu.training_plan import MODALITY, PRETRAINED, Part, remaining_parts, trained_seconds
from scripts.gpu.utilization import measure_load
from scripts.gpu.weights import WEIGHTS_FOLDER, SavedRun, load_run, save_run

RESULT = "train.json"

_MIN_SECONDS = 15.0
"""A part is not started for less time: its worker processes need some seconds to start."""

_MAX_PARTS = 3
"""The number of parts of one run: the machine returns at most 8 files."""

_MARGIN_S = 8.0
"""The time that is left for the last batch, for saving and for the end of the worker processes."""

_SAVE_INTERVAL_S = 20.0

_LOSS_BATCHES = 40
"""The number of batches whose mean loss is reported."""

_MAX_WORKERS = 8
"""The processes that make samples, 0.1 s for each; the other processors simulate clicks and start kernels."""

_BATCHES_PER_WORKER = 3
"""One in work and two that wait, as torch does by default."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - through which torch moves samples between processes


class TimedHooks(Hooks):
    """Ends a run at a time, and saves its weights at regular intervals and at its end."""

    def __init__(self, path: Path, seconds: float, before: SavedRun | None) -> None:
        self._path, self._start, self._seconds = path, time.monotonic(), seconds
        self._seconds_before = before.seconds if before else 0.0
        self._last_save = self._start
        self._losses: list[float] = []
        self.epoch = before.epoch if before else 0
        self.iterations, self.wait_s = 0, 0.0

    def attach(self, trainer: SupervisedTrainer) -> None:
        """Measures how long the trainer waits for samples."""

        def begin() -> None:
            self._wait_start = time.monotonic()

        def end() -> None:
            self.wait_s += time.monotonic() - self._wait_start

        trainer.add_event_handler(Events.GET_BATCH_STARTED, begin)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, end)

    @property
    def elapsed_s(self) -> float:
        """The time since the start of the run."""
        return time.monotonic() - self._start

    @property
    def loss(self) -> float:
        """The mean loss of the last batches."""
        last = self._losses[-_LOSS_BATCHES:]
        return sum(last) / len(last) if last else float("nan")

    def after_batch(self, engine: SupervisedTrainer) -> None:
        """Records the loss of a batch, and ends the run at its time, within an epoch."""
        self._losses.append(engine.state.output["loss"])
        self.iterations += 1
        if self.elapsed_s >= self._seconds:
            engine.terminate()

    def after_epoch(self, engine: SupervisedTrainer, state: TrainingState) -> None:
        """Counts an epoch, and saves the weights if the last time is long ago."""
        self.epoch = engine.state.epoch
        if time.monotonic() - self._last_save > _SAVE_INTERVAL_S:
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Saves the averaged weights and the counters.

        Raises:
            EngineError: The weights are not finite numbers.
        """
        check_finite(state.network, self.epoch + 1)
        save_run(state.final_network, self.epoch, self._seconds_before + self.elapsed_s, self.loss, self._path)
        self._last_save = time.monotonic()


def train_part(part: Part, seconds: float, cases: Sequence[GridCase], folders: tuple[Path, Path], *, dry: bool) -> Row:
    """Trains a part, from its saved weights or from those of the first part.

    Args:
        part: The part.
        seconds: The time limit.
        cases: The training cases.
        folders: The folder of the weights of earlier runs, and the folder for the new weights.
        dry: Whether a tiny network is trained on the CPU.

    Returns:
        The figures of the result file.
    """
    saved, output = folders
    device = "cpu" if dry else "cuda"
    config = part.make_config(0, dry=dry)
    config = config.model_copy(update={"num_workers": 1 if dry else worker_count(config)})
    processes = Processes(0, 1, torch.device(device))
    before = load_run(saved / part.file_name)
    network = make_network(config, output, processes)
    for start in (before, *(load_run(folder / f"{PRETRAINED}.pt") for folder in (output, saved))):
        if start is not None:
            start.load_into(network)
            break
    hooks = TimedHooks(output / part.file_name, seconds, before)
    run = make_run(config, network, cases, output, processes, hooks)
    hooks.attach(run.trainer)
    run.trainer.state.epoch = before.epoch if before else 0
    run.trainer.state.iteration = run.trainer.state.epoch * config.steps_per_epoch
    with measure_load(device) as load:
        run_epochs(run, config)
    hooks.save(run.state)
    return {
        "part": part.name,
        "s": round(hooks.elapsed_s, 1),
        "s in all": round(hooks.elapsed_s + (before.seconds if before else 0), 1),
        "epoch": hooks.epoch,
        "batches": hooks.iterations,
        "loss": round(hooks.loss, 4),
        "batches per s": round(hooks.iterations / hooks.elapsed_s, 2),
        "waiting for samples %": round(100 * hooks.wait_s / hooks.elapsed_s),
        "GPU utilization %": load.mean_utilization,
        "peak GPU GB": load.peak_gb,
    }


def worker_count(config: TrainingConfig) -> int:
    """Returns the number of processes that make samples: at most half of the processors, and none without memory."""
    sample_bytes = 4 * (config.model.input_channels + 2) * prod(config.patch_size)  # image, truth and distractors
    batch_bytes = sample_bytes * config.batch_size
    fitting = (
        disk_usage(_SHARED_MEMORY).free // 2 // (_BATCHES_PER_WORKER * batch_bytes) if _SHARED_MEMORY.is_dir() else 0
    )
    return min(_MAX_WORKERS, max(1, processor_count() // 2), fitting)


def run(options: StageOptions) -> None:
    """Trains the parts of the plan, in order, until the time limit."""
    start = time.monotonic()
    saved = options.pack / WEIGHTS_FOLDER
    rows = read_rows(saved / RESULT)
    parts = list(remaining_parts(trained_seconds(rows)))
    for part, missing in parts if options.dry else parts[:_MAX_PARTS]:
        left = options.seconds - (time.monotonic() - start)
        if left < _MIN_SECONDS and not options.dry:
            break
        seconds = 0.0 if options.dry else min(missing, left - _MARGIN_S)
        row = train_part(part, seconds, _training_cases(part, options), (saved, options.output), dry=options.dry)
        rows = [*(other for other in rows if other["part"] != part.name), row]
        write_rows(options.output / RESULT, rows)


def _training_cases(part: Part, options: StageOptions) -> list[GridCase]:
    if part.is_synthetic:
        return []
    packed = read_cases(options.pack / CASES_FOLDER, MODALITY)
    return [case.case for case in packed if case.fold != part.held_out_fold]
