"""Networks from definitions: the listed networks of MONAI, DiNTS, and definitions that would need too much memory."""

from __future__ import annotations

import importlib.util
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from clickseg.core.errors import ModelError
from clickseg.inference.engines.main_output import MainOutput
from clickseg.inference.engines.network import build_from_definition
from tests.helpers.oracles import nets, torch

UNET = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
DYNUNET = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "kernel_size": [3, 3, 3, 3],
    "strides": [1, 2, 2, 2],
    "upsample_kernel_size": [2, 2, 2],
    "filters": [4, 4, 4, 4],
    "deep_supervision": True,
    "deep_supr_num": 2,
}
DINTS_SPACE = {
    "_target_": "TopologyInstance",
    "channel_mul": 0.125,
    "num_blocks": 2,
    "num_depths": 2,
    "use_downsample": True,
    "arch_code": [[[1, 0, 1, 1], [1, 1, 0, 1]], [[1, 0, 2, 3], [4, 1, 0, 1]]],
}
DINTS = {
    "_target_": "DiNTS",
    "dints_space": DINTS_SPACE,
    "in_channels": 1,
    "num_classes": 3,
    "use_downsample": True,
    "node_a": [[1, 1], [1, 1], [1, 1]],
}
DEFINITIONS: dict[str, dict[str, Any]] = {
    "AHNet": {"spatial_dims": 3, "upsample_mode": "trilinear", "layers": [1, 1, 1, 1]},
    "AttentionUnet": UNET,
    "BasicUNet": {"features": [4, 4, 4, 4, 4, 4]},
    "BasicUNetPlusPlus": {"features": [4, 4, 4, 4, 4, 4], "deep_supervision": True},
    "DynUNet": DYNUNET,
    "HighResNet": {"out_channels": 2},
    "MedNeXt": {"init_filters": 4, "deep_supervision": True},
    "SegResNet": {"init_filters": 8},
    "SegResNetDS": {"init_filters": 8, "blocks_down": [1, 1, 1], "dsdepth": 3},
    "SegResNetVAE": {"input_image_size": [32, 32, 32], "init_filters": 8, "vae_nz": 4},
    "SwinUNETR": {"in_channels": 1, "out_channels": 2, "feature_size": 12, "depths": [1, 1, 1, 1]},
    "UNETR": {"in_channels": 1, "out_channels": 2, "img_size": [32, 32, 32], "hidden_size": 48, "mlp_dim": 48},
    "UNet": UNET,
    "VNet": {"out_channels": 2},
}
NEEDS_EINOPS = ("SwinUNETR", "UNETR")


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("namespace", ["", "monai.networks.nets."])
def test_a_network_is_that_of_monai_under_its_short_and_its_full_name(name: str, namespace: str) -> None:
    if name in NEEDS_EINOPS and not importlib.util.find_spec("einops"):
        pytest.skip("einops is not installed")
    torch.manual_seed(3)
    expected = getattr(nets, name)(**DEFINITIONS[name]).state_dict()
    torch.manual_seed(3)

    network = build_from_definition({"_target_": namespace + name, **DEFINITIONS[name]}, "network_def")

    state = network.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) - {"AHNet", "HighResNet", "VNet", "AttentionUnet"}))
def test_the_main_output_is_the_logits_at_full_resolution(name: str) -> None:
    if name in NEEDS_EINOPS and not importlib.util.find_spec("einops"):
        pytest.skip("einops is not installed")
    network = build_from_definition({"_target_": name, **DEFINITIONS[name]}, "network_def").eval()
    windows = torch.zeros(1, 1, *((64, 64, 32) if name == "SwinUNETR" else (32, 32, 32)))

    with torch.no_grad():
        logits = MainOutput(network)(windows)

    assert logits.shape == (1, 2, *windows.shape[2:])


def test_the_main_output_of_unet_plus_plus_is_that_of_the_whole_network() -> None:
    torch.manual_seed(0)
    arguments = {"features": [4, 4, 4, 4, 4, 4]}
    deep = nets.BasicUNetPlusPlus(**arguments, deep_supervision=True).eval()
    single = nets.BasicUNetPlusPlus(**arguments, deep_supervision=False).eval()
    single.load_state_dict(deep.state_dict())
    windows = torch.rand(1, 1, 32, 32, 32)

    with torch.no_grad():
        assert torch.equal(MainOutput(deep)(windows), single(windows)[0])


def test_dints_is_built_from_plain_json() -> None:
    space = nets.TopologyInstance(
        **{key: value for key, value in DINTS_SPACE.items() if key not in ("_target_", "arch_code")},
        arch_code=[np.array(code) for code in DINTS_SPACE["arch_code"]],  # type: ignore[attr-defined]
    )
    torch.manual_seed(1)
    expected = nets.DiNTS(space, in_channels=1, num_classes=3, node_a=torch.tensor(DINTS["node_a"])).eval()

    network = build_from_definition(json.loads(json.dumps(DINTS)), "network_def").eval()

    network.load_state_dict(expected.state_dict(), strict=True)
    windows = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(windows), expected(windows))


@pytest.mark.parametrize(
    "space",
    [
        None,
        {"_target_": "TopologySearch"},
        {"_target_": "os.system"},
        DINTS_SPACE | {"cell": "Cell"},
        DINTS_SPACE | {"arch_code": "$torch.load('search_code.pt')"},
        DINTS_SPACE | {"arch_code": [[[1, 0, 1, 1]]]},
        DINTS_SPACE | {"arch_code": [[[1, 0, 1, 1]], [["a", "b"]]]},
        DINTS_SPACE | {"arch_code": [[[1, 0, 1, 1]] * 2, [[9, 9, 9, 9]] * 2]},
        DINTS_SPACE | {"act_name": {"_target_": "builtins.print"}},
        DINTS_SPACE | {"num_depths": 100},
    ],
)
def test_another_search_space_of_dints_is_an_error(space: object) -> None:
    with pytest.raises(ModelError, match="network_def"):
        build_from_definition(DINTS | {"dints_space": space}, "network_def")


@pytest.mark.parametrize(
    "definition",
    [
        {"_target_": "UNet", **UNET, "channels": [10**6, 10**6]},
        {"_target_": "UNet", **UNET, "channels": [10**14, 4]},
        {"_target_": "UNet", **UNET, "kernel_size": 10**4},
        {"_target_": "SwinUNETR", "in_channels": 1, "out_channels": 2, "window_size": 60},
        {"_target_": "SwinUNETR", "in_channels": 1, "out_channels": 2, "depths": [10**10] * 4},
        {"_target_": "VNet", "in_channels": 10**12},
        {"_target_": "SegResNetDS", "init_filters": 10**6},
        {"_target_": "MedNeXt", "init_filters": 10**6},
        DINTS | {"dints_space": DINTS_SPACE | {"channel_mul": 10**6}},
    ],
)
def test_a_network_that_is_too_large_is_rejected_before_it_is_allocated(definition: dict[str, object]) -> None:
    tracemalloc.start()

    with pytest.raises(ModelError, match=r"expected a network of at most 2147483648 values|cannot be built"):
        build_from_definition(definition, "network_def")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20


def test_weights_are_not_downloaded() -> None:
    with pytest.raises(ModelError, match=r"network_def\.pretrained: expected false, got True"):
        build_from_definition({"_target_": "AHNet", "pretrained": True}, "network_def")
