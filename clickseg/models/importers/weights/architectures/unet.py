"""UNet, whose levels are nested: the weights of a level contain those of the level below it."""

from __future__ import annotations

from collections.abc import Iterator

from clickseg.models.importers.weights.architectures.architecture import (
    Architecture,
    Shapes,
    assumptions,
    find_activation,
    find_normalization,
    kernel_size,
    numbered,
)

_STRIDES_WITH_UNITS = (
    "strides of 2 where the residual convolution has the full kernel, else 1: a stride of other numbers has the same "
    "shapes"
)
_ORDER = ("adn_ordering", "NDA, normalization before activation: another order has the same shapes")
_STRIDES_WITHOUT_UNITS = "strides of 2: a network without residual units has the same shapes for all strides"


def unet(shapes: Shapes) -> Architecture:
    """Returns UNet; a stride that is not 1 is assumed to be 2."""
    levels = list(_level_prefixes(shapes))
    units = len(list(numbered(shapes, "model.0.conv.unit{}.conv.weight")))
    convolution = "conv.unit0." if units else ""
    down = [shapes[f"{level}{convolution}conv.weight"] for level in levels]
    up = [shapes[f"{level[:-2]}2.{'0.' if units else ''}conv.weight"] for level in levels[:-1]]
    top = f"{levels[0]}{convolution}"
    norm = find_normalization(shapes, top + "adn.N.", with_weights=["instance", {"affine": True}], name="InstanceNorm")
    act = find_activation(shapes, top + "adn.A.weight", otherwise=["relu", {"inplace": True}], name="ReLU")
    definition = {
        "_target_": "UNet",
        "spatial_dims": len(down[0]) - 2,
        "in_channels": down[0][1],
        "out_channels": up[0][1],
        "channels": [shape[0] for shape in down],
        "strides": [_stride(shapes, level, down[0]) if units else 2 for level in levels[:-1]],
        "kernel_size": kernel_size(down[0]),
        "up_kernel_size": kernel_size(up[0]),
        "num_res_units": units,
        "norm": norm.value,
        "act": act.value,
        "bias": f"{top}conv.bias" in shapes,
    }
    strides = ("strides", _STRIDES_WITH_UNITS if units else _STRIDES_WITHOUT_UNITS)
    layers = assumptions({"norm": norm, "act": act})
    return Architecture(definition, down[0][1], up[0][1], (strides, _ORDER, *layers))


def _level_prefixes(shapes: Shapes) -> Iterator[str]:
    """Yields the prefix of the downward layer of each level, from the top to the bottom."""
    prefix = "model."
    while any(name.startswith(prefix + "1.submodule.") for name in shapes):
        yield prefix + "0."
        prefix += "1.submodule."
    yield prefix


def _stride(shapes: Shapes, level: str, first: tuple[int, ...]) -> int:
    residual = shapes.get(level + "residual.weight")
    is_strided = residual is not None and residual[2:] == first[2:] and set(first[2:]) != {1}
    return 2 if is_strided else 1
