"""Finds the network that has weights of given names and shapes."""

from __future__ import annotations

from collections.abc import Callable

from clickseg.models.importers.weights.architectures.architecture import Architecture, Shapes
from clickseg.models.importers.weights.architectures.basic_unet import basic_unet
from clickseg.models.importers.weights.architectures.dynunet import dynunet
from clickseg.models.importers.weights.architectures.segresnet import segresnet, segresnet_ds
from clickseg.models.importers.weights.architectures.transformers import swin_unetr, unetr
from clickseg.models.importers.weights.architectures.unet import unet
from clickseg.models.importers.weights.architectures.vnet import vnet

_PREFIXES = ("module.", "network.", "model.", "net.", "_orig_mod.")
"""What DataParallel, wrappers, Lightning and torch.compile write before the names of weights."""

_ARCHITECTURES: tuple[tuple[str, Callable[[Shapes], Architecture]], ...] = (
    ("swinViT.patch_embed.proj.weight", swin_unetr),
    ("vit.patch_embedding.position_embeddings", unetr),
    ("encoder.conv_init.weight", segresnet_ds),
    ("convInit.conv.weight", segresnet),
    ("input_block.conv1.conv.weight", dynunet),
    ("conv_0.conv_0.conv.weight", basic_unet),
    ("in_tr.conv_block.conv.weight", vnet),
    ("model.0.conv.unit0.conv.weight", unet),
    ("model.0.conv.weight", unet),
)
"""A weight that only this network has, and the function that reads the others."""

NAMES = ("BasicUNet", "DynUNet", "SegResNet", "SegResNetDS", "SwinUNETR", "UNETR", "UNet", "VNet")
"""The networks that are found by their weights."""


def find_architecture(shapes: Shapes) -> tuple[Architecture, str] | None:
    """Returns the network of weights, and the prefix before their names; None for other networks than ``NAMES``.

    The result is a proposal: only loading all weights into the network proves it. Weights without the prefix are not of
    the network: Lightning also saves those of a loss.
    """
    for prefix in (*common_prefixes(shapes), *_partial_prefixes(shapes)):
        own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
        for weight, read in _ARCHITECTURES:
            if weight not in own:
                continue
            try:
                return read(own), prefix
            except (ArithmeticError, LookupError, ValueError):  # a part of the network has another form
                continue
    return None


def common_prefixes(shapes: Shapes) -> list[str]:
    """Returns the prefixes that all names have, from the empty one to the longest."""
    prefixes = [""]
    while True:
        rests = [name.removeprefix(prefixes[-1]) for name in shapes]
        longer = next((prefix for prefix in _PREFIXES if all(rest.startswith(prefix) for rest in rests)), None)
        if longer is None or not rests:
            return prefixes
        prefixes.append(prefixes[-1] + longer)


def _partial_prefixes(shapes: Shapes) -> list[str]:
    """Returns the prefixes that only some names have."""
    found = []
    for prefix in _PREFIXES:
        rests = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
        if 0 < len(rests) < len(shapes):
            found += [prefix + longer for longer in common_prefixes(rests)]
    return found
