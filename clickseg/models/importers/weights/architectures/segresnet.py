"""SegResNet, and SegResNetDS with deep supervision and kernels for anisotropic images."""

from __future__ import annotations

from typing import Any

from clickseg.models.importers.weights.architectures.architecture import (
    Architecture,
    Layer,
    Shapes,
    assumptions,
    find_activation,
    find_normalization,
    numbered,
)

_GROUP_NORM = ["group", {"num_groups": 8}]


def segresnet(shapes: Shapes) -> Architecture:
    """Returns SegResNet; the number of groups of GroupNorm is assumed to be 8."""
    first, last = shapes["convInit.conv.weight"], shapes["conv_final.2.conv.weight"]
    depth = _count_levels(shapes, "down_layers.")
    up_levels = _count_levels(shapes, "up_samples.")
    norm = find_normalization(shapes, "conv_final.0.", with_weights=_GROUP_NORM, name="GroupNorm with 8 groups")
    act = find_activation(shapes, "conv_final.1.weight", otherwise=["relu", {"inplace": True}], name="ReLU")
    layers = {"norm": norm, "act": act}
    definition = {
        "_target_": "SegResNet",
        "spatial_dims": len(first) - 2,
        "init_filters": first[0],
        "in_channels": first[1],
        "out_channels": last[0],
        "blocks_down": [_count(shapes, f"down_layers.{i}.{{}}.conv1.conv.weight", 1) for i in range(depth)],
        "blocks_up": [_count(shapes, f"up_layers.{i}.{{}}.conv1.conv.weight") for i in range(up_levels)],
        "upsample_mode": _upsample_mode(shapes, "up_samples.0.1."),
        **_values(layers),
    }
    return Architecture(definition, first[1], last[0], assumptions(layers))


def segresnet_ds(shapes: Shapes) -> Architecture:
    """Returns SegResNetDS."""
    first = shapes["encoder.conv_init.weight"]
    depth = _count_levels(shapes, "encoder.layers.")
    heads = [name for i in range(depth) for name in (f"up_layers.{i}.head.weight",) if name in shapes]
    last = shapes[heads[-1]]
    block = "encoder.layers.0.blocks.0."
    norm = find_normalization(
        shapes, block + "norm1.", with_weights=["instance", {"affine": True}], name="InstanceNorm"
    )
    act = find_activation(shapes, block + "act1.weight", otherwise=["relu", {"inplace": True}], name="ReLU")
    layers = {"norm": norm, "act": act}
    definition = {
        "_target_": "SegResNetDS",
        "spatial_dims": len(first) - 2,
        "init_filters": first[0],
        "in_channels": first[1],
        "out_channels": last[0],
        "blocks_down": [_count(shapes, f"encoder.layers.{i}.blocks.{{}}.conv1.weight") for i in range(depth)],
        "blocks_up": [_count(shapes, f"up_layers.{i}.blocks.{{}}.conv1.weight") for i in range(depth - 1)],
        "dsdepth": len(heads),
        "upsample_mode": _upsample_mode(shapes, "up_layers.0.upsample."),
        **_values(layers),
        **_resolution(shapes, depth),
    }
    preprocess = ("preprocess", "none: a function before the first layer has no weights")
    return Architecture(definition, first[1], last[0], (preprocess, *assumptions(layers)))


def _resolution(shapes: Shapes, depth: int) -> dict[str, Any]:
    """Returns a resolution with which the network has these kernels: 1 voxel along an axis that is not yet halved."""
    kernels = [shapes[f"encoder.layers.{i}.blocks.0.conv1.weight"][2:] for i in range(depth)]
    delays = [sum(kernel[axis] == 1 for kernel in kernels) for axis in range(len(kernels[0]))]
    return {"resolution": [float(2**delay) for delay in delays]} if any(delays) else {}


def _upsample_mode(shapes: Shapes, prefix: str) -> str:
    names = {"deconv.weight": "deconv", "pixelshuffle.conv_block.weight": "pixelshuffle"}
    return next((mode for name, mode in names.items() if prefix + name in shapes), "nontrainable")


def _count_levels(shapes: Shapes, prefix: str) -> int:
    numbers = {name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)}
    return len(numbers)


def _count(shapes: Shapes, pattern: str, start: int = 0) -> int:
    return len(list(numbered(shapes, pattern, start)))


def _values(layers: dict[str, Layer]) -> dict[str, Any]:
    return {name: layer.value for name, layer in layers.items()}
