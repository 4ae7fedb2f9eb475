"""DynUNet: strides are the kernels of the transposed convolutions, which have no overlap."""

from __future__ import annotations

from clickseg.models.importers.weights.architectures.architecture import (
    Architecture,
    Shapes,
    assumptions,
    find_activation,
    find_normalization,
    kernel_size,
    numbered,
)


def dynunet(shapes: Shapes) -> Architecture:
    """Returns DynUNet; the stride of its first block is assumed to be 1."""
    first, last = shapes["input_block.conv1.conv.weight"], shapes["output_block.conv.conv.weight"]
    down = [shapes[name] for name in numbered(shapes, "downsamples.{}.conv1.conv.weight")]
    encoder = [first, *down, shapes["bottleneck.conv1.conv.weight"]]
    up = [kernel_size(shapes[name]) for name in numbered(shapes, "upsamples.{}.transp_conv.conv.weight")][::-1]
    norm = find_normalization(
        shapes, "input_block.norm1.", with_weights=["instance", {"affine": True}], name="InstanceNorm"
    )
    act = find_activation(
        shapes,
        "input_block.lrelu.weight",
        otherwise=["leakyrelu", {"inplace": True, "negative_slope": 0.01}],
        name="LeakyReLU with the slope 0.01",
    )
    heads = len(list(numbered(shapes, "deep_supervision_heads.{}.conv.conv.weight")))
    definition = {
        "_target_": "DynUNet",
        "spatial_dims": len(first) - 2,
        "in_channels": first[1],
        "out_channels": last[0],
        "kernel_size": [kernel_size(shape) for shape in encoder],
        "strides": [1, *up],
        "upsample_kernel_size": up,
        "filters": [shape[0] for shape in encoder],
        "norm_name": norm.value,
        "act_name": act.value,
        "res_block": any(name.endswith(".conv3.conv.weight") for name in shapes),
        "trans_bias": "upsamples.0.transp_conv.conv.bias" in shapes,
        **({"deep_supervision": True, "deep_supr_num": heads} if heads else {}),
    }
    stride = ("strides", "a stride of 1 of the first block: others have the same shapes")
    layers = assumptions({"norm_name": norm, "act_name": act})
    return Architecture(definition, first[1], last[0], (stride, *layers))
