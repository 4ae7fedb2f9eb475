"""Networks are defined by plain JSON values; own code and objects are errors."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from clickseg.core.errors import ModelError
from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.monai_bundle.config import Unsupported
from clickseg.models.importers.monai_bundle.network_definition import output_channels, translate_network

UNET = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}


def translate(target: str, **arguments: Any) -> dict[str, Any]:
    return translate_network({"_target_": target, **arguments}, "network_def")[0]


@pytest.mark.parametrize("target", ["UNet", "monai.networks.nets.UNet", "monai.networks.nets.unet.UNet"])
def test_networks_of_monai_can_be_built(target: str) -> None:
    definition = translate(target, **UNET)

    network = build_from_definition(definition, "network_def")
    assert type(network).__name__ == "UNet"
    assert output_channels(definition) == 2


def test_the_image_size_of_swin_unetr_is_dropped_with_a_note() -> None:
    value = {"_target_": "SwinUNETR", "img_size": [96] * 3, "in_channels": 1, "out_channels": 4}

    definition, notes = translate_network(value, "network_def")

    assert "img_size" not in definition
    assert [note.key for note in notes] == ["network_def", "network_def#img_size"]


def test_the_image_size_of_unetr_is_kept() -> None:
    assert translate("UNETR", img_size=96)["img_size"] == 96


def test_arrays_of_an_architecture_become_lists_without_the_device() -> None:
    space = {
        "_target_": "monai.networks.nets.TopologyInstance",
        "num_blocks": 2,
        "arch_code": [np.ones((2, 4), dtype=np.int64), torch.zeros(2, 4)],
        "device": Unsupported(ModelError("device")),
    }

    definition = translate("DiNTS", dints_space=space, num_classes=3, node_a=torch.ones(3, 2))

    assert definition["dints_space"] == {
        "_target_": "TopologyInstance",
        "num_blocks": 2,
        "arch_code": [[[1] * 4] * 2, [[0.0] * 4] * 2],
    }
    assert json.loads(json.dumps(definition)) == definition
    assert output_channels(definition) == 3


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (
            "scripts.networks.unest.UNesT",
            {},
            r"scripts\.networks\.unest\.UNesT: the network is defined by the bundle's own",
        ),
        ("monai.apps.deepgrow.Net", {}, "own code"),
        ("os.system", {"command": "true"}, "own code"),
        ("UNet", {"spatial_dims": 2}, "networks for slices are not yet supported"),
        ("UNet", {"act": {"_target_": "os.system"}}, "_target_: expected plain arguments"),
        ("UNet", {"dropout": math.inf}, "expected plain values, got inf"),
        ("UNet", {"norm": Unsupported(ModelError("norm: the expression"))}, "norm: the expression"),
        ("UNet", {"channels": [Unsupported(ModelError("channels: the expression"))]}, "channels: the expression"),
        ("UNet", {"act": object()}, "expected plain values"),
        ("UNet", {"act": np.zeros(200_000)}, "expected plain values"),
        ("DiNTS", {"dints_space": {"_target_": "scripts.Space"}}, "expected TopologyInstance"),
        ("DiNTS", {"dints_space": {"_target_": "scripts.TopologyInstance"}}, "expected TopologyInstance"),
    ],
)
def test_other_networks_and_arguments_are_errors(target: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        translate(target, **arguments)
