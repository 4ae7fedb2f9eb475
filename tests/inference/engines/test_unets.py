"""nnU-Net's networks compute what MONAI's DynUNet, and their definition in terms of torch's functions, compute."""

from __future__ import annotations

from typing import Any

import pytest

from clickseg.core.errors import ModelError
from clickseg.inference.engines.network import build_from_definition
from tests.helpers.oracles import nets, torch

functional = torch.nn.functional

PLAIN: dict[str, Any] = {
    "_target_": "PlainConvUNet",
    "input_channels": 2,
    "num_classes": 3,
    "n_stages": 3,
    "features_per_stage": [4, 6, 8],
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": 2,
    "n_conv_per_stage_decoder": [2, 2],
    "conv_bias": False,
    "norm_op": "InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": "LeakyReLU",
    "nonlin_kwargs": {"negative_slope": 0.01, "inplace": True},
}
RESIDUAL: dict[str, Any] = {
    **{key: value for key, value in PLAIN.items() if key != "n_conv_per_stage"},
    "_target_": "ResidualEncoderUNet",
    "n_blocks_per_stage": [1, 2, 1],
    "n_conv_per_stage_decoder": 1,
    "conv_bias": True,
}


def build(definition: dict[str, Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    network = build_from_definition(definition, "network_def").eval()
    for values in network.parameters():  # those of normalizations are not random
        torch.nn.init.normal_(values, 0.1, 0.3)
    return network


def make_windows() -> Any:
    torch.manual_seed(5)
    return torch.randn(1, 2, 8, 12, 16)


def test_the_plain_network_is_dynunet_with_other_names() -> None:
    definition = {**PLAIN, "kernel_sizes": [[3, 3, 3]] * 3}  # DynUNet has other kernels in the decoder
    network = build(definition)
    expected = nets.DynUNet(
        spatial_dims=3,
        in_channels=2,
        out_channels=3,
        kernel_size=definition["kernel_sizes"],
        strides=PLAIN["strides"],
        upsample_kernel_size=PLAIN["strides"][1:],
        filters=PLAIN["features_per_stage"],
        norm_name=("INSTANCE", {"affine": True}),
    ).eval()
    ours, theirs = network.state_dict(), expected.state_dict()
    names = {
        f"{block}.{conv}.conv.weight": f"{own}.convs.{number}.conv.weight"
        for block, own in (
            ("input_block", "encoder.stages.0.0"),
            ("downsamples.0", "encoder.stages.1.0"),
            ("bottleneck", "encoder.stages.2.0"),
            ("upsamples.0.conv_block", "decoder.stages.0"),
            ("upsamples.1.conv_block", "decoder.stages.1"),
        )
        for number, conv in enumerate(("conv1", "conv2"))
    }
    norms = {
        name.replace(f"conv{number}.conv.weight", f"norm{number}.{kind}"): own.replace("conv.weight", f"norm.{kind}")
        for name, own in names.items()
        for number in (1, 2)
        if f"conv{number}." in name
        for kind in ("weight", "bias")
    }
    others = {
        "upsamples.0.transp_conv.conv.weight": "decoder.transpconvs.0.weight",
        "upsamples.1.transp_conv.conv.weight": "decoder.transpconvs.1.weight",
        "output_block.conv.conv.weight": "decoder.seg_layers.1.weight",
        "output_block.conv.conv.bias": "decoder.seg_layers.1.bias",
    }
    renamed = {name: ours[own] for name, own in {**names, **norms, **others}.items()}
    expected.load_state_dict({name: renamed[name] if name in renamed else renamed[_first(name)] for name in theirs})

    with torch.no_grad():
        torch.testing.assert_close(network(make_windows()), expected(make_windows()), rtol=1e-5, atol=1e-5)


def _first(name: str) -> str:
    """Returns the name in DynUNet of weights that its list of skip layers repeats."""
    for prefix, own in (
        ("skip_layers.downsample.", "input_block."),
        ("skip_layers.next_layer.downsample.", "downsamples.0."),
        ("skip_layers.next_layer.next_layer.", "bottleneck."),
        ("skip_layers.next_layer.upsample.", "upsamples.0."),
        ("skip_layers.upsample.", "upsamples.1."),
    ):
        if name.startswith(prefix):
            return own + name.removeprefix(prefix)
    raise KeyError(name)


def convolve(state: dict[str, Any], name: str, values: Any, stride: Any = 1) -> Any:
    """Returns a convolution and its instance normalization."""
    weight = state[f"{name}.conv.weight"]
    padding = [(size - 1) // 2 for size in weight.shape[2:]]
    values = functional.conv3d(values, weight, state.get(f"{name}.conv.bias"), stride, padding)
    return functional.instance_norm(values, weight=state[f"{name}.norm.weight"], bias=state[f"{name}.norm.bias"])


def rectify(values: Any) -> Any:
    return functional.leaky_relu(values, 0.01)


def residual_block(state: dict[str, Any], name: str, values: Any, stride: Any) -> Any:
    skip = functional.avg_pool3d(values, stride, stride) if stride != [1, 1, 1] else values
    projection = next((key for key in state if key.startswith(f"{name}.skip.") and key.endswith("conv.weight")), None)
    if projection:
        skip = convolve(state, projection.removesuffix(".conv.weight"), skip)
    first = rectify(convolve(state, f"{name}.conv1", values, stride))
    return rectify(convolve(state, f"{name}.conv2", first) + skip)


def test_the_residual_network_is_that_of_its_definition() -> None:
    network = build(RESIDUAL)
    state, values = network.state_dict(), make_windows()

    values = rectify(convolve(state, "encoder.stem.convs.0", values))
    features = []
    for stage, count in enumerate(RESIDUAL["n_blocks_per_stage"]):
        for block in range(count):
            stride = RESIDUAL["strides"][stage] if block == 0 else [1, 1, 1]
            values = residual_block(state, f"encoder.stages.{stage}.blocks.{block}", values, stride)
        features.append(values)
    for stage, stride in enumerate(RESIDUAL["strides"][:0:-1]):
        up, name = f"decoder.transpconvs.{stage}", f"decoder.stages.{stage}.convs.0"
        values = functional.conv_transpose3d(values, state[f"{up}.weight"], state[f"{up}.bias"], stride)
        values = rectify(convolve(state, name, torch.cat([values, features[1 - stage]], 1)))
    last = "decoder.seg_layers.1"
    expected = functional.conv3d(values, state[f"{last}.weight"], state[f"{last}.bias"])

    with torch.no_grad():
        logits = network(make_windows())
    assert logits.shape == (1, 3, 8, 12, 16)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_a_single_number_is_that_of_all_stages_and_axes() -> None:
    short = build({**PLAIN, "kernel_sizes": 3, "strides": [1, 2, 2], "features_per_stage": 4}).state_dict()
    lists = {"kernel_sizes": [[3, 3, 3]] * 3, "strides": [[1] * 3, [2] * 3, [2] * 3], "features_per_stage": [4, 4, 4]}
    long = build({**PLAIN, **lists}).state_dict()

    assert list(short) == list(long)
    assert all(torch.equal(short[name], long[name]) for name in long)


@pytest.mark.parametrize("is_first", [False, True])
def test_the_nonlinearity_is_before_or_after_the_normalization(is_first: bool) -> None:
    changes = {"norm_op": "BatchNorm3d", "nonlin": "ReLU", "nonlin_kwargs": {}, "nonlin_first": is_first}
    network = build({**PLAIN, **changes})
    block = network.encoder.stages[0][0].convs[0]

    with torch.no_grad():
        values = block(make_windows())

    assert bool((values < 0).any()) == is_first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_op": "os.system"}, r"norm_op: Input should be 'BatchNorm3d' or 'InstanceNorm3d'"),
        ({"nonlin": "Softmax"}, "nonlin: Input should be"),
        ({"n_stages": 10**9}, "n_stages: Input should be less than or equal to 16"),
        ({"n_stages": True}, "n_stages: Input should be greater"),
        ({"n_conv_per_stage": 10**6}, "n_conv_per_stage"),
        ({"strides": [[1, 1, 1]]}, "strides: expected 3 values, got 1"),
        ({"n_conv_per_stage_decoder": [1, 1, 1]}, "n_conv_per_stage_decoder: expected 2 values, got 3"),
        ({"kernel_sizes": [[3, 3]] * 3}, "kernel_sizes"),
        ({"conv_op": "torch.nn.Conv3d"}, "conv_op: unknown field"),
        ({"features_per_stage": [1 << 16] * 3}, "expected a network of at most"),
        ({"nonlin_kwargs": {"colour": 1}}, "cannot be built: .*colour"),
        ({"nonlin": "PReLU", "nonlin_kwargs": {"num_parameters": 10**12}}, "expected a network of at most"),
        ({"norm_op_kwargs": {"eps": [1]}}, "norm_op_kwargs.eps"),
    ],
)
def test_arguments_that_are_unknown_or_too_large_are_one_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_from_definition({**PLAIN, **changes}, "network_def")


def test_the_mean_of_networks_is_the_mean_of_their_logits() -> None:
    mean = build({"_target_": "MeanOfNetworks", "count": 3, "network": PLAIN})
    members = [build(PLAIN) for _ in range(3)]
    for number, member in enumerate(members):
        prefix = f"members.{number}.network."
        state = {name.removeprefix(prefix): each for name, each in mean.state_dict().items() if name.startswith(prefix)}
        member.load_state_dict(state, strict=True)

    with torch.no_grad():
        expected = torch.stack([member(make_windows()) for member in members]).mean(0)
        torch.testing.assert_close(mean(make_windows()), expected)


def test_networks_side_by_side_see_their_own_channels_and_have_their_outputs_one_after_the_other() -> None:
    networks = [{**PLAIN, "num_classes": 3}, RESIDUAL]
    joined = build({"_target_": "NetworksSideBySide", "networks": networks})
    windows, logits = torch.cat([make_windows(), make_windows() + 1], dim=1), []
    for number, definition in enumerate(networks):
        member, prefix = build(definition), f"members.{number}.network."
        state = {name.removeprefix(prefix): x for name, x in joined.state_dict().items() if name.startswith(prefix)}
        member.load_state_dict(state, strict=True)
        with torch.no_grad():
            logits.append(member(make_windows() + number))

    with torch.no_grad():
        torch.testing.assert_close(joined(windows), torch.cat(logits, dim=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": []}, "expected a list of 1 to 32 networks"),
        ({"networks": PLAIN}, "expected a list"),
        ({"more": 1}, "expected a list"),
        ({"networks": [{"_target_": "NetworksSideBySide", "networks": [PLAIN]}]}, r"networks\.0: expected another"),
        ({"networks": [PLAIN, {"_target_": "os.system"}]}, r"networks\.1\._target_: expected"),
    ],
)
def test_networks_side_by_side_that_are_none_are_one_error(changes: dict[str, Any], message: str) -> None:
    definition = {"_target_": "NetworksSideBySide", "networks": [PLAIN], **changes}

    with pytest.raises(ModelError, match=message):
        build_from_definition(definition, "network_def")


def test_the_main_outputs_of_members_are_averaged() -> None:
    member = {"_target_": "SegResNetDS", "init_filters": 8, "blocks_down": [1, 1, 1], "dsdepth": 2}
    mean = build({"_target_": "MeanOfNetworks", "count": 2, "network": member}).train()  # all outputs only in training

    assert mean(torch.zeros(1, 1, 16, 16, 16)).shape == (1, 2, 16, 16, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "expected network, and count from 1 to 32"),
        ({"count": 10**9}, "expected network, and count"),
        ({"count": True}, "expected network, and count"),
        ({"more": 1}, "expected network, and count"),
        (
            {"network": {"_target_": "MeanOfNetworks", "count": 2, "network": PLAIN}},
            r"network_def\.network: expected an",
        ),
        ({"network": {"_target_": "os.system"}}, r"network_def\.network\._target_: expected .* or NetworksSideBySide"),
        ({"network": {**PLAIN, "n_stages": 99}}, r"network_def\.network: n_stages"),
        ({"network": {**PLAIN, "features_per_stage": [6000] * 3}, "count": 32}, "expected a network of at most"),
        ({"network": None}, r"network_def\.network: expected an object with _target_"),
    ],
)
def test_means_that_are_no_networks_are_one_error(changes: dict[str, Any], message: str) -> None:
    definition = {"_target_": "MeanOfNetworks", "count": 2, "network": PLAIN, **changes}

    with pytest.raises(ModelError, match=message):
        build_from_definition(definition, "network_def")


@pytest.mark.oracle
@pytest.mark.parametrize("definition", [PLAIN, RESIDUAL], ids=["plain", "residual"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_networks_are_those_of_the_original_package(definition: dict[str, Any], bias: bool) -> None:
    unet = pytest.importorskip(
        "dynamic_network_architectures.architectures.unet",
        reason="dynamic-network-architectures is not installed: pip install nnunetv2",
    )
    definition = {**definition, "conv_bias": bias}
    arguments = {key: value for key, value in definition.items() if key != "_target_"}
    classes = {"norm_op": torch.nn.InstanceNorm3d, "nonlin": torch.nn.LeakyReLU}
    theirs = getattr(unet, definition["_target_"])(conv_op=torch.nn.Conv3d, **{**arguments, **classes}).eval()
    network = build(definition)
    state = theirs.state_dict()

    network.load_state_dict({name: values for name, values in state.items() if name in network.state_dict()})

    with torch.no_grad():
        assert torch.equal(network(make_windows()), theirs(make_windows()))
