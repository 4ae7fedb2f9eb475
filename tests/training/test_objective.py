"""Optimizers and learning-rate schedulers, by name; the sliding window of a stitched loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from clickseg.training.config import OptimizationConfig, read_config
from clickseg.training.objective import make_inferer, make_optimizer, make_scheduler

EPOCHS, RATE = 10, 0.02
RATES: dict[str, Callable[[int], float]] = {
    "none": lambda _: RATE,
    "cosine": lambda epoch: RATE * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2,
    "multistep": lambda epoch: RATE * 0.333 ** (epoch // 2),
    "polynomial": lambda epoch: RATE * (1 - epoch / EPOCHS) ** 2,
}


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Novograd", "SGD"])
def test_each_optimizer_fits_a_linear_function(name: str) -> None:
    torch.manual_seed(0)
    network, inputs = torch.nn.Linear(3, 1), torch.randn(64, 3)
    target = inputs @ torch.tensor([[0.5], [-1.0], [0.25]])
    optimizer = make_optimizer(OptimizationConfig(optimizer=name, learning_rate=0.01, weight_decay=0), network)
    first_loss = torch.nn.functional.mse_loss(network(inputs), target).item()

    for _ in range(400):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(inputs), target)
        loss.backward()
        optimizer.step()

    assert loss.item() < first_loss / 100


@pytest.mark.parametrize("name", RATES)
def test_each_scheduler_follows_its_formula(name: str) -> None:
    config = OptimizationConfig(scheduler=name, learning_rate=RATE)
    optimizer = make_optimizer(config, torch.nn.Linear(1, 1))
    scheduler = make_scheduler(config, optimizer, EPOCHS)
    rates = []

    for _ in range(EPOCHS):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()

    assert rates == pytest.approx([RATES[name](epoch) for epoch in range(EPOCHS)], abs=2e-8)


@pytest.mark.parametrize("mode", ["gaussian", "constant"])
def test_a_stitched_loss_has_the_weights_of_the_window(mode: str) -> None:
    changes = ["loss.target=stitched", "model.window.roi=[4,4,4]", "model.window.sigma_scale=0.2"]
    inferer = make_inferer(read_config(["pet_lesion"], [*changes, f"model.window.mode={mode}"]))
    image = torch.arange(6.0).repeat(4, 4, 1)[None, None]

    logits = inferer(image, lambda window: torch.full_like(window, window.mean()))[0, 0, 0, 0]

    # By hand: windows at 0 and 2 have the means 1.5 and 3.5; voxel 2 is at 2 in the first and at 0 in the second.
    weights = np.exp(-(np.array([0.5, 1.5]) ** 2) / (2 * 0.8**2)) if mode == "gaussian" else np.ones(2)
    assert logits[2].item() == pytest.approx((1.5 * weights[0] + 3.5 * weights[1]) / weights.sum(), rel=1e-4)
