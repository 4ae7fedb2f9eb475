"""Memory of a training run over hundreds of batches, without forced garbage collection."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.table import Row, publish
from clickseg.training.cases import GridCase
from clickseg.training.config import read_config
from clickseg.training.network import make_network
from clickseg.training.processes import Processes
from clickseg.training.trainer import MainProcessHooks, make_run

_BATCHES, _INTERVAL = 400, 50
_SETTINGS = (
    "epochs=1",
    f"steps_per_epoch={_BATCHES}",
    "patch_size=[24,24,24]",
    "clicking.max_rounds=4",
    "network.filters=[8,16,32,64]",
)


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    config, rows = read_config(["pet_lesion"], _SETTINGS), list[Row]()
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 60, 60), np.uint8)
    truth[20:40, 22:35, 18:44] = 1
    case = GridCase("case", "PT", rng.random((1, *truth.shape), dtype=np.float32) + truth, truth)

    def record_memory(done: int, _: int) -> None:
        if done % _INTERVAL == 0:
            rows.append({"batch": done, "resident MiB": round(_resident_bytes() / (1 << 20))})

    with tempfile.TemporaryDirectory() as folder:
        hooks = MainProcessHooks(Path(folder), record_memory, lambda _: {}, 0)
        processes = Processes(0, 1, torch.device("cpu"))
        network = make_network(config, Path(folder), processes)
        make_run(config, network, (case,), Path(folder), processes, hooks).trainer.run()
        hooks.close()
    publish("training_memory", f"Memory of a training run of {_BATCHES} batches", rows)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
