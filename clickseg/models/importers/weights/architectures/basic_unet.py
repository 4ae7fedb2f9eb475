"""BasicUNet, which always has five levels."""

from __future__ import annotations

from clickseg.models.importers.weights.architectures.architecture import (
    Architecture,
    Shapes,
    assumptions,
    find_activation,
    find_normalization,
)

_LEVELS = ("conv_0", *(f"down_{level}.convs" for level in (1, 2, 3, 4)), "upcat_1.convs")


def basic_unet(shapes: Shapes) -> Architecture:
    """Returns BasicUNet."""
    first, last = shapes["conv_0.conv_0.conv.weight"], shapes["final_conv.weight"]
    block = "conv_0.conv_0."
    norm = find_normalization(
        shapes, block + "adn.N.", with_weights=["instance", {"affine": True}], name="InstanceNorm"
    )
    act = find_activation(
        shapes,
        block + "adn.A.weight",
        otherwise=["leakyrelu", {"inplace": True, "negative_slope": 0.1}],
        name="LeakyReLU with the slope 0.1",
    )
    definition = {
        "_target_": "BasicUNet",
        "spatial_dims": len(first) - 2,
        "in_channels": first[1],
        "out_channels": last[0],
        "features": [shapes[f"{level}.conv_1.conv.weight"][0] for level in _LEVELS],
        "norm": norm.value,
        "act": act.value,
        "bias": block + "conv.bias" in shapes,
        "upsample": _upsample_mode(shapes),
    }
    return Architecture(definition, first[1], last[0], assumptions({"norm": norm, "act": act}))


def _upsample_mode(shapes: Shapes) -> str:
    if "upcat_4.upsample.deconv.weight" in shapes:
        return "deconv"
    return "pixelshuffle" if "upcat_4.upsample.pixelshuffle.conv_block.weight" in shapes else "nontrainable"
