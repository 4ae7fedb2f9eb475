"""Training on a GPU: mixed precision, resuming, and the depth of voxels compared with the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.simulated.regions import depth_function, depth_on_host
from clickseg.core.device import array_device
from clickseg.training.checkpoint import CHECKPOINT_FILE, save_checkpoint
from clickseg.training.config import read_config
from clickseg.training.network import make_network
from clickseg.training.processes import Processes
from clickseg.training.trainer import Hooks, make_run, run_epochs
from tests.helpers.oracles import torch
from tests.helpers.training_cases import SMALL

pytestmark = pytest.mark.gpu


class SavingHooks(Hooks):
    """Saves each epoch, and records its mean loss."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.losses: list[float] = []

    def after_batch(self, engine) -> None:
        self.losses.append(engine.state.output["loss"])

    def after_epoch(self, engine, state) -> None:
        save_checkpoint(state, engine, self._folder / CHECKPOINT_FILE)


def train(folder: Path, device: str, precision: str, epochs: int = 8) -> SavingHooks:
    changes = (*SMALL, f"epochs={epochs}", f"optimization.precision={precision}", "synthesis.probability=1")
    config = read_config(["pet_lesion"], [*changes, "optimization.learning_rate=0.01"])
    processes, hooks = Processes(0, 1, torch.device(device)), SavingHooks(folder)
    run_epochs(make_run(config, make_network(config, folder, processes), (), folder, processes, hooks), config)
    return hooks


@pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
def test_the_loss_decreases_in_each_precision(device: str, tmp_path: Path, precision: str) -> None:
    if precision == "f16" and device == "cpu":
        pytest.skip("f16 gradients are scaled only on a GPU")

    losses = train(tmp_path, device, precision).losses

    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_the_state_of_a_run_on_a_gpu_can_be_loaded_without_a_gpu(device: str, tmp_path: Path) -> None:
    train(tmp_path, device, "bf16", epochs=1)

    state = torch.load(tmp_path / CHECKPOINT_FILE, map_location="cpu", weights_only=True)

    assert state["epoch"] == 1
    assert all(bool(torch.isfinite(values).all()) for values in state["ema"].values())


def test_the_depth_of_voxels_on_a_gpu_is_that_of_the_host(device: str) -> None:
    mask = np.random.default_rng(0).random((103, 131, 97)) > 0.1  # large enough for a GPU
    mask[25:78, 39:105, 23:64] = True
    spacing_mm = (3.0, 1.5, 2.0)

    depth = depth_function(array_device(device))(mask, spacing_mm)

    np.testing.assert_allclose(depth, depth_on_host(mask, spacing_mm), rtol=1e-5, atol=1e-5)
