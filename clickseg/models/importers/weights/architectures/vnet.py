"""VNet, whose number of filters is fixed."""

from __future__ import annotations

from clickseg.models.importers.weights.architectures.architecture import Architecture, Layer, Shapes, assumptions


def vnet(shapes: Shapes) -> Architecture:
    """Returns VNet."""
    first, last = shapes["in_tr.conv_block.conv.weight"], shapes["out_tr.conv2.weight"]
    is_prelu = "in_tr.act_function.weight" in shapes  # one value for each channel: MONAI adds their number
    elu = Layer(["elu", {"inplace": True}], "ELU: the file contains no weights of an activation")
    act = Layer("prelu") if is_prelu else elu
    definition = {
        "_target_": "VNet",
        "spatial_dims": len(first) - 2,
        "in_channels": first[1],
        "out_channels": last[0],
        "act": act.value,
        "bias": "in_tr.conv_block.conv.bias" in shapes,
    }
    return Architecture(definition, first[1], last[0], assumptions({"act": act}))
