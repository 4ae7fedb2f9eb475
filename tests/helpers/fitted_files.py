"""Fitted networks in the files of other tools: Auto3DSeg, checkpoints and TorchScript."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tests.helpers.auto3dseg_files import write_auto3dseg_zip
from tests.helpers.fitted_networks import FitSettings, fit
from tests.helpers.foreign_bundles import make_config, make_metadata

SEED = 7
CODES = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
_UNET = {"spatial_dims": 3, "in_channels": 1, "channels": (8, 16, 32), "strides": (2, 2), "norm": "batch"}
_SEGRESNET_DS = {"init_filters": 8, "blocks_down": [1, 2, 2], "norm": "INSTANCE", "in_channels": 1, "out_channels": 4}


@dataclass(frozen=True, slots=True)
class NormalizeMode:
    """A way in which Auto3DSeg normalizes images.

    Attributes:
        name: ``normalize_mode`` of the configuration.
        modality: The modality of the configuration.
        low: The smallest normalized value that the network is fitted to.
        high: The largest.
    """

    name: str
    modality: str
    low: float
    high: float


def write_auto3dseg(path: Path, mode: NormalizeMode, images: int = 1, *, has_masks: bool = False) -> Path:
    """Writes a model of MONAIAuto3DSeg with three classes; returns the zip file.

    Args:
        path: The zip file.
        mode: How all images are normalized.
        images: The number of images.
        has_masks: Whether the classes are masks, as those of BraTS.
    """
    from monai.networks.nets import SegResNetDS

    torch.manual_seed(SEED)
    layers = {**_SEGRESNET_DS, "in_channels": images, "out_channels": 3 if has_masks else 4}
    settings = FitSettings(layers["out_channels"], mode.low, mode.high, overlapping=has_masks, inputs=images)
    settings = settings if images == 1 else replace(settings, steps=120)
    network = fit(SegResNetDS(spatial_dims=3, dsdepth=2, **layers), settings)
    config = {
        "network": {"_target_": "SegResNetDS", "dsdepth": 2, **layers},
        "modality": mode.modality,
        "normalize_mode": mode.name,
        "intensity_bounds": [-250.0, 250.0],
        "roi_size": [32, 32, 24],
        "resample_resolution": [3.1, 3.1, 3.1],
        "crop_foreground": True,
        "orientation_ras": True,
        "sigmoid": has_masks,
        "extra_modalities": {f"image{number}": mode.name for number in range(2, images + 1)},
    }
    header = [f"SegmentedPropertyTypeCodeSequence.{code}" for code in CODES]
    rows = ["1,spleen,SCT,78961009,Spleen", "2,liver,SCT,10200004,Liver", "3,kidney,SCT,64033007,Kidney"]
    table = "\n".join([",".join(["LabelValue", "Name", *header]), *rows]) + "\n"
    checkpoint = {"config": config, "state_dict": network.state_dict(), "epoch": 1, "best_metric": 0.9}
    return write_auto3dseg_zip(path, checkpoint, table)


def sw_fastedit_network(filters: list[int]) -> torch.nn.Module:
    """Returns a network with the layers of SW-FastEdit, and six numbers of filters."""
    from monai.networks.nets import DynUNet

    return DynUNet(
        spatial_dims=3,
        in_channels=3,
        out_channels=2,
        kernel_size=[3] * 6,
        strides=[1, 2, 2, 2, 2, [2, 2, 1]],
        upsample_kernel_size=[2, 2, 2, 2, [2, 2, 1]],
        filters=filters,
        norm_name="instance",
        res_block=True,
    )


def fitted_sw_fastedit(steps: int = 30) -> torch.nn.Module:
    """Returns the network of SW-FastEdit, with fewer filters."""
    torch.manual_seed(SEED)
    network = sw_fastedit_network([4, 8, 8, 8, 8, 8])
    return fit(network, FitSettings(2, roi=(64, 64, 32), clicks=True, steps=steps))


def write_sw_fastedit(path: Path, network: torch.nn.Module) -> Path:
    """Writes a checkpoint in the layout of SW-FastEdit."""
    torch.save({"trainer": {"epoch_length": 401, "iteration": 401}, "net": network.state_dict()}, path)
    return path


def write_state(path: Path, network: torch.nn.Module) -> Path:
    """Writes a state dict, as MONAI Label stores its models."""
    torch.save(network.state_dict(), path)
    return path


def fitted_segresnet() -> torch.nn.Module:
    """Returns a SegResNet with three classes and the depth of MONAI Label's ``segmentation``."""
    from monai.networks.nets import SegResNet

    torch.manual_seed(SEED)
    layers = {"blocks_down": (1, 2, 2, 4), "blocks_up": (1, 1, 1), "init_filters": 8}
    network = SegResNet(spatial_dims=3, in_channels=1, out_channels=4, dropout_prob=0.2, **layers)
    return fit(network, FitSettings(4, low=-1))


def fitted_unet(outputs: int, low: float = 0.0, residual_units: int = 1) -> torch.nn.Module:
    """Returns a fitted UNet."""
    from monai.networks.nets import UNet

    torch.manual_seed(SEED)
    network = UNet(out_channels=outputs, num_res_units=residual_units, **_UNET)
    return fit(network, FitSettings(outputs, low=low))


class TwoOutputs(torch.nn.Module):
    """A network that returns its logits, and something else."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns logits and probabilities."""
        logits = self.network(windows)
        return logits, torch.softmax(logits, 1)


class OwnNetwork(torch.nn.Module):
    """A network that MONAI does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(1, 8, 3, padding=1)
        self.second = torch.nn.Conv3d(8, 2, 3, padding=1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, 2, I, J, K]."""
        return self.second(torch.nn.functional.leaky_relu(self.first(windows)))


def fitted_own_network() -> torch.nn.Module:
    """Returns a fitted network that MONAI does not have."""
    torch.manual_seed(SEED)
    return fit(OwnNetwork(), FitSettings(2))


def write_program(path: Path, program: torch.jit.ScriptModule, description: Mapping[str, Any] | None = None) -> Path:
    """Writes a TorchScript program, and the JSON file that describes it."""
    program.save(str(path))
    if description is not None:
        path.with_suffix(".json").write_text(json.dumps(description))
    return path


def write_program_with_metadata(path: Path, program: torch.jit.ScriptModule) -> Path:
    """Writes the program of ``fitted_unet(2)`` with the embedded files of a bundle: see ``foreign_bundles``."""
    from monai.data import save_net_with_metadata

    network = {"_target_": "UNet", "out_channels": 2, "num_res_units": 1, **_UNET}
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [48, 48, 32], "overlap": 0.5}
    config = json.dumps(make_config(network_def=network, inferer=inferer)).encode()
    save_net_with_metadata(program, str(path), meta_values=make_metadata(), more_extra_files={"inference.json": config})
    return path
