"""A network with random weights, as a package."""

from __future__ import annotations

from pathlib import Path

from clickseg.inference.engines.export import list_weights
from clickseg.inference.engines.network import build_network
from clickseg.models.package import ModelPackage, load_package
from tests.helpers import phantoms
from tests.helpers.oracles import torch

NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 3,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
}


SECTION = phantoms.metadata(guidance=phantoms.GUIDANCE)


def package(folder: Path, network: dict[str, object] = NETWORK, section: dict[str, object] = SECTION) -> ModelPackage:
    """A package with random weights, for torch."""
    phantoms.write_package(folder, section, network)
    torch.manual_seed(5)
    torch.save(build_network(load_package(folder)).state_dict(), folder / "models" / "model.pt")
    list_weights(load_package(folder), ("model.pt",))
    return load_package(folder)
