"""A network that does not fit is rejected before a run starts."""

from __future__ import annotations

import pytest
import torch

from clickseg.core.errors import EngineError, ModelError
from clickseg.inference.engines.network import build_from_definition
from clickseg.training.config import TrainingConfig, read_config
from clickseg.training.network import check_finite, check_network
from tests.helpers.training_cases import SMALL

CPU = torch.device("cpu")
VAE = "spatial_dims: 3, in_channels: 3, out_channels: 2, init_filters: 8, input_image_size: [16, 16, 16]"


def check(config: TrainingConfig) -> None:
    check_network(build_from_definition(config.network, "network"), config, CPU)


def test_statistics_of_normalization_that_became_nan_are_rejected() -> None:
    config = read_config(["pet_lesion"], [*SMALL, "network.norm_name=batch"])
    network = build_from_definition(config.network, "network")
    check_finite(network, 1)
    next(values for name, values in network.named_buffers() if name.endswith("running_var")).fill_(float("nan"))

    with pytest.raises(EngineError, match="infinite or NaN in epoch 3"):
        check_finite(network, 3)


def test_a_check_does_not_change_the_network() -> None:
    layers = "spatial_dims: 3, in_channels: 3, out_channels: 2, channels: [4, 8], strides: [2], norm: batch"
    config = read_config(["pet_lesion"], [*SMALL, f"network={{_target_: monai.networks.nets.UNet, {layers}}}"])
    network = build_from_definition(config.network, "network")
    before = {name: values.clone() for name, values in network.state_dict().items()}

    check_network(network, config, CPU)

    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network.in_channels=4", r"cannot be run on \[1, 3, 16, 16, 16\]"),
        ("network.out_channels=3", r"expected logits \[1, 2, 16, 16, 16\] .* got \[1, 3, 16, 16, 16\]"),
        ("patch_size=[18,18,18]", r"cannot be run on \[1, 3, 18, 18, 18\]"),
        ("model.window.roi=[18,18,18]", r"cannot be run on \[1, 3, 18, 18, 18\]"),
        (f"network={{_target_: monai.networks.nets.SegResNetVAE, {VAE}}}", "expected one tensor .* got tuple"),
    ],
)
def test_a_network_that_does_not_fit_is_rejected(change: str, message: str) -> None:
    config = read_config(["pet_lesion"], [*SMALL, change])

    with pytest.raises(ModelError, match=message):
        check(config)
