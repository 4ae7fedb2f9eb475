"""SwinUNETR and UNETR, whose encoders are transformers."""

from __future__ import annotations

from typing import Any

from clickseg.models.importers.weights.architectures.architecture import (
    Architecture,
    Shapes,
    assumptions,
    find_normalization,
    numbered,
)

_PATCH = 16
"""The size of a patch of UNETR, which is fixed."""


def swin_unetr(shapes: Shapes) -> Architecture:
    """Returns SwinUNETR; its attention windows are assumed to be cubes."""
    patch, last = shapes["swinViT.patch_embed.proj.weight"], shapes["out.conv.conv.weight"]
    dims = len(patch) - 2
    norm = find_normalization(
        shapes, "encoder1.layer.norm1.", with_weights=["instance", {"affine": True}], name="InstanceNorm"
    )
    block = "swinViT.layers1.0.blocks.0."
    table = ".attn.relative_position_bias_table"
    stages = [list(numbered(shapes, f"swinViT.layers{i}.0.blocks.{{}}{table}")) for i in (1, 2, 3, 4)]
    definition = {
        "_target_": "SwinUNETR",
        "spatial_dims": dims,
        "in_channels": patch[1],
        "out_channels": last[0],
        "patch_size": patch[2],
        "feature_size": patch[0],
        "depths": [len(names) for names in stages],
        "num_heads": [shapes[names[0]][1] for names in stages],
        "window_size": _root((shapes[stages[0][0]][0]), dims) // 2 + 1,
        "qkv_bias": block + "attn.qkv.bias" in shapes,
        "mlp_ratio": shapes[block + "mlp.linear1.weight"][0] / patch[0],
        "norm_name": norm.value,
        "patch_norm": "swinViT.patch_embed.norm.weight" in shapes,
        "use_v2": any(name.startswith("swinViT.layers1c.") for name in shapes),
    }
    others = (
        ("window_size", "attention windows that are cubes: other windows can have the same number of weights"),
        ("normalize", "normalized features, and the downsampling `merging`: they have no weights"),
    )
    return Architecture(definition, patch[1], last[0], (*assumptions({"norm_name": norm}), *others))


def unetr(shapes: Shapes) -> Architecture:
    """Returns UNETR; its window is assumed to be a cube, and its number of heads 12."""
    first, last = shapes["encoder1.layer.conv1.conv.weight"], shapes["out.conv.conv.weight"]
    dims = len(first) - 2
    positions = shapes["vit.patch_embedding.position_embeddings"]
    norm = find_normalization(
        shapes, "encoder1.layer.norm1.", with_weights=["instance", {"affine": True}], name="InstanceNorm"
    )
    definition: dict[str, Any] = {
        "_target_": "UNETR",
        "spatial_dims": dims,
        "in_channels": first[1],
        "out_channels": last[0],
        "img_size": [_root(positions[1], dims) * _PATCH] * dims,
        "feature_size": first[0],
        "hidden_size": positions[2],
        "mlp_dim": shapes["vit.blocks.0.mlp.linear1.weight"][0],
        "num_heads": 12,
        "proj_type": "conv" if "vit.patch_embedding.patch_embeddings.weight" in shapes else "perceptron",
        "norm_name": norm.value,
        "conv_block": "encoder2.blocks.0.1.conv1.conv.weight" in shapes,
        "res_block": any(name.endswith(".conv3.conv.weight") for name in shapes),
        "qkv_bias": "vit.blocks.0.attn.qkv.bias" in shapes,
    }
    others = (
        ("img_size", "a window that is a cube: other windows can have the same number of patches"),
        ("num_heads", "12 heads: the number of heads changes no shape"),
    )
    return Architecture(definition, first[1], last[0], (*assumptions({"norm_name": norm}), *others))


def _root(number: int, degree: int) -> int:
    """Returns the whole root of a number.

    Raises:
        ValueError: The root is not a whole number.
    """
    root: int = round(number ** (1 / degree))
    if root**degree != number:
        raise ValueError(f"{number} is not the power {degree} of a whole number")
    return root
