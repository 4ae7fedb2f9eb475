"""One iteration of training."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clickseg.clicks.click import Point
from clickseg.clicks.simulated.regions import DepthFunction, depth_on_host
from clickseg.core.arrays import Float32Array, Mask
from clickseg.training.config import TrainingConfig, read_config
from clickseg.training.interaction import Interaction, StepSettings, previous_mask_channels
from clickseg.training.objective import make_autocast, make_inferer, make_loss
from tests.helpers.training_cases import SMALL


class Linear(torch.nn.Module):
    """A network that adds up its channels, and records its inputs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([0.3, 1.0, -1.0, 0.5][:channels]))
        self.inputs: list[torch.Tensor] = []
        self.is_training: list[bool] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.inputs.append(inputs.detach().clone())
        self.is_training.append(self.training)
        lesion = (inputs * self.weights[None, :, None, None, None]).sum(1, keepdim=True)
        return torch.cat([torch.zeros_like(lesion), lesion], dim=1)


def run_iteration(
    config: TrainingConfig,
    distractors: np.ndarray | None = None,
    image: float = 0.0,
    depth: DepthFunction = depth_on_host,
) -> tuple[Linear, dict[str, object]]:
    """Runs one iteration on one sample, a box that the network misses at first."""
    truth = torch.zeros(1, 1, 16, 16, 16)
    truth[0, 0, 3:9, 4:12, 5:11] = 1
    batch = {
        "image": torch.full((1, 1, 16, 16, 16), image),
        "truth": truth,
        "distractors": torch.zeros_like(truth) if distractors is None else torch.from_numpy(distractors)[None, None],
        "needs_click": torch.tensor([False]),
    }
    network = Linear(config.model.input_channels)
    autocast, _ = make_autocast(config.optimization, torch.device("cpu"))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cuda", enabled=False)
    settings = StepSettings(autocast, scaler, 0.0, config.optimization.accumulation_steps, lambda: None)
    state = SimpleNamespace(iteration=4, epoch=1, device=torch.device("cpu"))
    engine = SimpleNamespace(
        state=state,
        network=network,
        optimizer=optimizer,
        loss_function=make_loss(config.loss),
        inferer=make_inferer(config),
    )
    return network, Interaction(config, settings, depth)(engine, batch)


def make_config(*changes: str) -> TrainingConfig:
    return read_config(["pet_lesion"], [*SMALL, "clicking.max_rounds=6", "clicking.jitter_mm=0", *changes])


def test_each_prediction_has_more_clicks_than_the_previous_one() -> None:
    network, _ = run_iteration(make_config())

    counts = [int(inputs[:, 1:].sum()) for inputs in network.inputs]
    assert len(counts) > 2
    assert counts[0] == 0
    assert all(a < b for a, b in pairwise(counts))


def test_the_given_depth_function_is_used() -> None:
    depths: list[float] = []

    def depth(mask: Mask, spacing: Point) -> Float32Array:
        depths.append(depth_on_host(mask, spacing).max())
        return depth_on_host(mask, spacing)

    on_host, _ = run_iteration(make_config("clicking.voxel_sampling={largest: 1}"))
    custom, _ = run_iteration(make_config("clicking.voxel_sampling={largest: 1}"), depth=depth)

    assert len(depths) >= len(custom.inputs) - 1 > 1
    assert all(torch.equal(a, b) for a, b in zip(on_host.inputs, custom.inputs, strict=True))


def test_each_prediction_or_only_the_last_is_trained_on() -> None:
    each, _ = run_iteration(make_config("clicking.backprop=each"))
    last, _ = run_iteration(make_config("clicking.backprop=last"))

    assert all(each.is_training)
    assert last.is_training == [False] * (len(last.is_training) - 1) + [True]


def test_for_a_voxelwise_network_the_stitched_loss_equals_the_patch_loss() -> None:
    patch, _ = run_iteration(make_config("loss.target=patch"), image=1.0)
    stitched, _ = run_iteration(make_config("loss.target=stitched", "model.window.roi=[8,8,8]"), image=1.0)

    assert {inputs.shape[2:] for inputs in stitched.inputs} == {(8, 8, 8)}
    assert torch.allclose(stitched.weights, patch.weights, atol=1e-6)
    assert not torch.allclose(stitched.weights, Linear(3).weights, atol=1e-3)


def test_gradients_are_accumulated_for_one_step() -> None:
    once, _ = run_iteration(make_config("clicking.max_rounds=0", "optimization.accumulation_steps=1"), image=1.0)
    accumulated, _ = run_iteration(
        make_config("clicking.max_rounds=0", "optimization.accumulation_steps=100"), image=1.0
    )

    initial_weights = Linear(3).weights
    assert not torch.equal(once.weights, initial_weights)
    assert torch.equal(accumulated.weights, initial_weights)


def test_distractors_without_a_click_have_no_gradient() -> None:
    everywhere = np.full((16, 16, 16), 3.0, np.float32)

    network, _ = run_iteration(make_config("clicking.max_rounds=0"), distractors=everywhere, image=1.0)

    assert torch.allclose(network.weights, Linear(3).weights, atol=1e-6)


def test_the_previous_mask_is_the_prediction_before_the_last_click() -> None:
    config = make_config("model.guidance.previous_mask=[{takes: [lesion]}]", "clicking.backprop=last")

    network, _ = run_iteration(config, image=1.0)

    assert not network.inputs[0][:, 3].any()
    assert bool(network.inputs[1][:, 3].all())  # the network predicts lesion everywhere


def test_a_mask_channel_contains_its_classes() -> None:
    config = make_config("model.guidance.previous_mask=[{takes: [lesion]}]")
    predictions = np.array([[[[0, 1], [1, 0]]]], np.uint8)

    (mask,) = previous_mask_channels(config.model, predictions)

    assert mask.tolist() == [[[[[0.0, 1.0], [1.0, 0.0]]]]]


def test_a_model_without_mask_channels_has_none(small: TrainingConfig) -> None:
    assert previous_mask_channels(small.model, np.zeros((1, 2, 2, 2), np.uint8)) == []


@pytest.mark.parametrize("name", ["DiceCELoss", "DiceLoss", "DiceFocalLoss", "GeneralizedDiceFocalLoss"])
def test_each_loss_is_lower_for_a_better_prediction(name: str) -> None:
    config = make_config(f"loss.name={name}")
    truth = torch.zeros(1, 1, 4, 4, 4)
    truth[..., :2] = 1
    correct = torch.cat([1 - truth, truth], dim=1) * 4

    assert make_loss(config.loss)(correct, truth) < make_loss(config.loss)(-correct, truth)
