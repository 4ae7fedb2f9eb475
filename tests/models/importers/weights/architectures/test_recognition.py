"""Networks from the shapes of their weights: each test compares with the network that MONAI made them with."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.core.errors import ModelError
from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.weights.architectures.recognition import find_architecture
from tests.helpers.oracles import nets, torch

FEW = settings(max_examples=6, deadline=None, derandomize=True)

channels = st.integers(1, 3)
filters = st.sampled_from([4, 8])
affine_norms = st.sampled_from(["batch", ("instance", {"affine": True}), "instance"])


def check_same_outputs(network: torch.nn.Module, size: tuple[int, ...], **set_by_user: Any) -> None:
    """Checks that the network that is found has the same weights and the same outputs."""
    network.eval()
    with torch.no_grad():
        for values in network.state_dict().values():
            if values.is_floating_point():
                values.copy_(torch.rand_like(values) * 0.2 + 0.05)
    shapes = {name: tuple(values.shape) for name, values in network.state_dict().items()}

    found = find_architecture(shapes)

    assert found is not None
    architecture, prefix = found
    assert prefix == ""
    same = build_from_definition({**architecture.definition, **set_by_user}, "network_def").eval()
    same.load_state_dict(network.state_dict(), strict=True)
    windows = torch.rand(1, architecture.in_channels, *size)
    with torch.no_grad():
        expected = network(windows)
        assert torch.equal(same(windows), expected)
    assert architecture.out_channels == expected.shape[1]


@FEW
@given(
    ins=channels,
    outs=channels,
    blocks=st.lists(st.integers(1, 2), min_size=1, max_size=4),
    up=st.integers(1, 2),
    mode=st.sampled_from(["deconv", "nontrainable", "pixelshuffle"]),
    act=st.sampled_from(["prelu", ("relu", {"inplace": True})]),
    norm=st.sampled_from(["batch", ("group", {"num_groups": 8}), "instance"]),
)
def test_segresnet(ins: int, outs: int, blocks: list[int], up: int, mode: str, act: Any, norm: Any) -> None:
    network = nets.SegResNet(
        in_channels=ins,
        out_channels=outs,
        init_filters=8,
        blocks_down=blocks,
        blocks_up=[up] * (len(blocks) - 1),
        upsample_mode=mode,
        act=act,
        norm=norm,
    )

    check_same_outputs(network, (16, 16, 16))


@FEW
@given(
    ins=channels,
    outs=channels,
    blocks=st.lists(st.integers(1, 2), min_size=2, max_size=4),
    heads=st.integers(1, 4),
    mode=st.sampled_from(["deconv", "nontrainable", "pixelshuffle"]),
    resolution=st.sampled_from([None, (1, 1, 5), (1, 1, 2), (4, 1, 2), (8, 4, 1), (1, 1, 1)]),
    norm=st.sampled_from(["batch", "instance"]),
)
def test_segresnet_ds(
    ins: int, outs: int, blocks: list[int], heads: int, mode: str, resolution: tuple[int, ...] | None, norm: str
) -> None:
    network = nets.SegResNetDS(
        in_channels=ins,
        out_channels=outs,
        init_filters=4,
        blocks_down=blocks,
        dsdepth=min(heads, len(blocks) - 1),
        upsample_mode=mode if resolution is None else "deconv",
        resolution=resolution,
        norm=norm,
    )

    check_same_outputs(network, (16, 16, 16))


@FEW
@given(
    ins=channels,
    outs=channels,
    widths=st.lists(filters, min_size=3, max_size=5),
    anisotropic=st.booleans(),
    residual=st.booleans(),
    deep=st.booleans(),
    bias=st.booleans(),
    norm=affine_norms,
    act=st.sampled_from(["prelu", ("leakyrelu", {"inplace": True, "negative_slope": 0.01})]),
)
def test_dynunet(
    ins: int,
    outs: int,
    widths: list[int],
    anisotropic: bool,
    residual: bool,
    deep: bool,
    bias: bool,
    norm: Any,
    act: Any,
) -> None:
    strides: list[Any] = [1, *[2] * (len(widths) - 2), [2, 2, 1] if anisotropic else 2]
    network = nets.DynUNet(
        spatial_dims=3,
        in_channels=ins,
        out_channels=outs,
        kernel_size=[[3, 3, 1] if anisotropic else 3, *[3] * (len(widths) - 1)],
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=widths,
        norm_name=norm,
        act_name=act,
        res_block=residual,
        trans_bias=bias,
        deep_supervision=deep,
        deep_supr_num=len(widths) - 2,
    )

    check_same_outputs(network, (32, 32, 32))


@FEW
@given(
    ins=channels,
    outs=channels,
    widths=st.lists(filters, min_size=6, max_size=6),
    mode=st.sampled_from(["deconv", "nontrainable", "pixelshuffle"]),
    bias=st.booleans(),
    norm=affine_norms,
    act=st.sampled_from(["prelu", ("leakyrelu", {"inplace": True, "negative_slope": 0.1})]),
)
def test_basic_unet(ins: int, outs: int, widths: list[int], mode: str, bias: bool, norm: Any, act: Any) -> None:
    network = nets.BasicUNet(3, ins, outs, features=widths, upsample=mode, bias=bias, norm=norm, act=act)

    check_same_outputs(network, (32, 32, 32))


@FEW
@given(
    ins=channels,
    outs=channels,
    widths=st.lists(filters, min_size=2, max_size=4),
    strides=st.lists(st.sampled_from([1, 2]), min_size=3, max_size=3),
    units=st.integers(1, 3),
    bias=st.booleans(),
    norm=affine_norms,
    act=st.sampled_from(["prelu", "relu"]),
    kernel=st.sampled_from([3, [3, 3, 1]]),
)
def test_unet_with_residual_units(
    ins: int,
    outs: int,
    widths: list[int],
    strides: list[int],
    units: int,
    bias: bool,
    norm: Any,
    act: str,
    kernel: Any,
) -> None:
    network = nets.UNet(
        3,
        ins,
        outs,
        widths,
        strides[: len(widths) - 1],
        kernel_size=kernel,
        num_res_units=units,
        bias=bias,
        norm=norm,
        act=act,
    )

    check_same_outputs(network, (16, 16, 16))


@FEW
@given(widths=st.lists(filters, min_size=2, max_size=4), strides=st.lists(st.integers(1, 2), min_size=3, max_size=3))
def test_unet_without_residual_units_needs_its_strides(widths: list[int], strides: list[int]) -> None:
    network = nets.UNet(3, 1, 2, widths, strides[: len(widths) - 1])

    check_same_outputs(network, (16, 16, 16), strides=strides[: len(widths) - 1])


@pytest.mark.skipif(not importlib.util.find_spec("einops"), reason="einops is not installed")
@settings(FEW, max_examples=3)
@given(
    ins=channels,
    outs=channels,
    depths=st.lists(st.integers(1, 2), min_size=4, max_size=4),
    window=st.sampled_from([3, 7]),
    v2=st.booleans(),
    ratio=st.sampled_from([2.0, 4.0]),
)
def test_swin_unetr(ins: int, outs: int, depths: list[int], window: int, v2: bool, ratio: float) -> None:
    network = nets.SwinUNETR(ins, outs, feature_size=12, depths=depths, window_size=window, use_v2=v2, mlp_ratio=ratio)

    check_same_outputs(network, (64, 64, 32))


@pytest.mark.skipif(not importlib.util.find_spec("einops"), reason="einops is not installed")
@settings(FEW, max_examples=3)
@given(ins=channels, outs=channels, patches=st.integers(1, 2), projection=st.sampled_from(["conv", "perceptron"]))
def test_unetr(ins: int, outs: int, patches: int, projection: str) -> None:
    network = nets.UNETR(
        ins, outs, img_size=16 * patches, feature_size=4, hidden_size=24, mlp_dim=32, proj_type=projection
    )

    check_same_outputs(network, (16 * patches,) * 3)


@pytest.mark.parametrize("act", ["prelu", ("elu", {"inplace": True})])
def test_vnet(act: Any) -> None:
    check_same_outputs(nets.VNet(3, 1, 3, act=act), (16, 16, 16))


@pytest.mark.parametrize("prefix", ["module.", "network.", "model.", "module.network."])
def test_a_prefix_before_all_names_is_found(prefix: str) -> None:
    network = nets.UNet(3, 1, 2, [4, 8], [2], num_res_units=1)
    shapes = {prefix + name: tuple(values.shape) for name, values in network.state_dict().items()}

    found = find_architecture(shapes)

    assert found is not None
    assert found[0].definition["_target_"] == "UNet"
    assert found[1] == prefix


def test_what_the_shapes_cannot_show_is_listed() -> None:
    network = nets.SegResNet(init_filters=8)
    shapes = {name: tuple(values.shape) for name, values in network.state_dict().items()}

    found = find_architecture(shapes)

    assert found is not None
    assert dict(found[0].assumed) == {
        "norm": "GroupNorm with 8 groups: its weights have the same shapes as those of other normalizations",
        "act": "ReLU: the file contains no weights of an activation",
    }


@pytest.mark.parametrize(
    "shapes", [{}, {"weight": (2, 2)}, {"convInit.conv.weight": (8, 1, 3, 3, 3)}, {"model.0.conv.weight": ()}]
)
def test_other_weights_are_no_known_network(shapes: dict[str, tuple[int, ...]]) -> None:
    assert find_architecture(shapes) is None


NETWORKS = {
    "segresnet": lambda: nets.SegResNet(),
    "segresnet_ds": lambda: nets.SegResNetDS(init_filters=4, blocks_down=[1, 1], resolution=[1, 1, 3]),
    "dynunet": lambda: nets.DynUNet(3, 1, 2, [3] * 3, [1, 2, 2], [2, 2], filters=[4] * 3, deep_supervision=True),
    "basic_unet": lambda: nets.BasicUNet(features=[4] * 6),
    "unet": lambda: nets.UNet(3, 1, 2, [4, 8, 16], [2, 2], num_res_units=1),
    "swin_unetr": lambda: nets.SwinUNETR(1, 2, feature_size=12, depths=[1] * 4, window_size=3),
}
hostile_shapes = st.lists(st.one_of(st.integers(0, 4), st.sampled_from([64, 2**62])), max_size=6).map(tuple)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@settings(max_examples=10, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_weights_are_another_network_or_an_error(name: str, data: st.DataObject) -> None:
    shapes = {key: tuple(values.shape) for key, values in NETWORKS[name]().state_dict().items()}
    changed = data.draw(st.lists(st.sampled_from(sorted(shapes)), min_size=1, max_size=6))
    for key in changed:
        shapes[key] = data.draw(hostile_shapes)
    for key in data.draw(st.lists(st.sampled_from(sorted(shapes)), max_size=3)):
        shapes.pop(key, None)

    found = find_architecture(shapes)

    if found is not None:
        with contextlib.suppress(ModelError):
            build_from_definition(found[0].definition, "network_def")
