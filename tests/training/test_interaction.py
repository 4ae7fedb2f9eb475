"""One iteration of training."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clickseg.clicks.click import Point
from clickseg.clicks.simulated.regions import Depth, depth_on_host
from clickseg.core.arrays import Mask, Values
from clickseg.training.config import Training, read_config
from clickseg.training.interaction import Interaction, Stepper, mask_channels
from clickseg.training.objective import make_cast, make_inferer, make_loss
from tests.helpers.training_cases import SMALL


class Linear(torch.nn.Module):
    """A network that adds up its channels, and notes what it was given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([0.3, 1.0, -1.0, 0.5][:channels]))
        self.given: list[torch.Tensor] = []
        self.modes: list[bool] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.given.append(inputs.detach().clone())
        self.modes.append(self.training)
        lesion = (inputs * self.weights[None, :, None, None, None]).sum(1, keepdim=True)
        return torch.cat([torch.zeros_like(lesion), lesion], dim=1)


def shown(
    how: Training, objects: np.ndarray | None = None, image: float = 0.0, depth: Depth = depth_on_host
) -> tuple[Linear, dict[str, object]]:
    """Runs one iteration on one sample, a box that is missed."""
    truth = torch.zeros(1, 1, 16, 16, 16)
    truth[0, 0, 3:9, 4:12, 5:11] = 1
    batch = {
        "image": torch.full((1, 1, 16, 16, 16), image),
        "truth": truth,
        "objects": torch.zeros_like(truth) if objects is None else torch.from_numpy(objects)[None, None],
        "must_click": torch.tensor([False]),
    }
    network = Linear(how.model.input_channels)
    cast, _ = make_cast(how.optimization, torch.device("cpu"))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    stepper = Stepper(cast, torch.amp.GradScaler("cuda", enabled=False), 0.0, how.optimization.accumulate, lambda: None)
    state = SimpleNamespace(iteration=4, epoch=1, device=torch.device("cpu"))
    engine = SimpleNamespace(
        state=state, network=network, optimizer=optimizer, loss_function=make_loss(how.loss), inferer=make_inferer(how)
    )
    return network, Interaction(how, stepper, depth)(engine, batch)


def changed(*changes: str) -> Training:
    return read_config(["pet_lesion"], [*SMALL, "clicking.most=6", "clicking.jitter_mm=0", *changes])


def test_each_showing_has_more_clicks_than_the_one_before() -> None:
    network, _ = shown(changed())

    counts = [int(each[:, 1:].sum()) for each in network.given]
    assert len(counts) > 2
    assert counts[0] == 0
    assert all(a < b for a, b in pairwise(counts))


def test_depth_is_measured_where_it_was_said() -> None:
    measured: list[float] = []

    def depth(mask: Mask, spacing: Point) -> Values:
        measured.append(depth_on_host(mask, spacing).max())
        return depth_on_host(mask, spacing)

    here, _ = shown(changed("clicking.choices={largest: 1}"))
    there, _ = shown(changed("clicking.choices={largest: 1}"), depth=depth)

    assert len(measured) >= len(there.given) - 1 > 1
    assert all(torch.equal(a, b) for a, b in zip(here.given, there.given, strict=True))


def test_there_is_a_gradient_at_each_showing_or_at_the_last() -> None:
    each, _ = shown(changed("clicking.learn=each"))
    last, _ = shown(changed("clicking.learn=last"))

    assert all(each.modes)
    assert last.modes == [False] * (len(last.modes) - 1) + [True]


def test_a_loss_of_what_windows_give_is_that_of_the_patch_where_a_voxel_is_all_that_counts() -> None:
    patch, _ = shown(changed("loss.of=patch"), image=1.0)
    stitched, _ = shown(changed("loss.of=stitched", "model.window.roi=[8,8,8]"), image=1.0)

    assert {each.shape[2:] for each in stitched.given} == {(8, 8, 8)}
    assert torch.allclose(stitched.weights, patch.weights, atol=1e-6)
    assert not torch.allclose(stitched.weights, Linear(3).weights, atol=1e-3)


def test_gradients_are_gathered_for_one_step() -> None:
    once, _ = shown(changed("clicking.most=0", "optimization.accumulate=1"), image=1.0)
    gathered, _ = shown(changed("clicking.most=0", "optimization.accumulate=100"), image=1.0)

    untouched = Linear(3).weights
    assert not torch.equal(once.weights, untouched)
    assert torch.equal(gathered.weights, untouched)


def test_nothing_is_learnt_where_nobody_can_know() -> None:
    everywhere = np.full((16, 16, 16), 3.0, np.float32)

    network, _ = shown(changed("clicking.most=0"), objects=everywhere, image=1.0)

    assert torch.allclose(network.weights, Linear(3).weights, atol=1e-6)


def test_a_previous_mask_is_what_was_found_before_the_last_click() -> None:
    how = changed("model.guidance.previous_mask=[{takes: [lesion]}]", "clicking.learn=last")

    network, _ = shown(how, image=1.0)

    assert not network.given[0][:, 3].any()
    assert bool(network.given[1][:, 3].all())  # the image says lesion everywhere


def test_masks_are_of_the_classes_that_a_channel_takes() -> None:
    how = changed("model.guidance.previous_mask=[{takes: [lesion]}]")
    found = np.array([[[[0, 1], [1, 0]]]], np.uint8)

    (mask,) = mask_channels(how.model, found)

    assert mask.tolist() == [[[[[0.0, 1.0], [1.0, 0.0]]]]]


def test_without_mask_channels_there_are_none(small: Training) -> None:
    assert mask_channels(small.model, np.zeros((1, 2, 2, 2), np.uint8)) == []


@pytest.mark.parametrize("name", ["DiceCELoss", "DiceLoss", "DiceFocalLoss", "GeneralizedDiceFocalLoss"])
def test_each_loss_is_lower_where_more_is_right(name: str) -> None:
    how = changed(f"loss.name={name}")
    truth = torch.zeros(1, 1, 4, 4, 4)
    truth[..., :2] = 1
    right = torch.cat([1 - truth, truth], dim=1) * 4

    assert make_loss(how.loss)(right, truth) < make_loss(how.loss)(-right, truth)
