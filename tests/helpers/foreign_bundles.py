"""Small MONAI Bundles in the form of the MONAI Model Zoo, without a ``clickseg`` section."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

DEVICE = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"
STATE = {"weight": torch.ones(2)}


def transform(name: str, **arguments: Any) -> dict[str, Any]:
    """Returns the configuration of a transform of the image."""
    return {"_target_": name, "keys": "@image_key", **arguments}


def result_transform(name: str, **arguments: Any) -> dict[str, Any]:
    """Returns the configuration of a transform of the result."""
    return {"_target_": name, "keys": "pred", **arguments}


LOAD = (transform("LoadImaged"), transform("EnsureChannelFirstd"))
RAS = transform("Orientationd", axcodes="RAS")
SPACING = transform("Spacingd", pixdim=[1.5, 1.5, 2.0], mode="bilinear")
RANGE = transform("ScaleIntensityRanged", a_min=-57, a_max=164, b_min=0, b_max=1, clip=True)
SOFTMAX = result_transform("Activationsd", softmax=True)
ARGMAX = result_transform("AsDiscreted", argmax=True)


def invert(*, nearest: bool) -> dict[str, Any]:
    """Returns the configuration of the transform that brings the result to the source grid."""
    return result_transform(
        "Invertd", transform="@preprocessing", orig_keys="@image_key", nearest_interp=nearest, to_tensor=True
    )


def make_config(**changes: Any) -> dict[str, Any]:
    """Returns ``inference.json`` of a CT model with one class, with changes of its keys."""
    config: dict[str, Any] = {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$list(sorted(glob.glob(@bundle_root + '/*.nii.gz')))",
        "device": DEVICE,
        "network_def": {
            "_target_": "UNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "channels": [8, 16],
            "strides": [2],
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [*LOAD, RAS, SPACING, RANGE]},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 64], "sw_batch_size": 4, "overlap": 0.5},
        "postprocessing": {"_target_": "Compose", "transforms": [SOFTMAX, invert(nearest=False), ARGMAX]},
        "evaluator": {"_target_": "SupervisedEvaluator", "network": "@network", "device": "@device"},
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "run": ["$@evaluator.run()"],
    }
    return copy.deepcopy(config | changes)


def make_metadata(**image: Any) -> dict[str, Any]:
    """Returns ``metadata.json`` of a CT model with one class, with changes of its image."""
    described = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "channel_def": {"0": "image"},
        **image,
    }
    classes = {"type": "image", "num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}
    return {"version": "0.5.9", "network_data_format": {"inputs": {"image": described}, "outputs": {"pred": classes}}}


def with_transforms(*transforms: Any) -> dict[str, Any]:
    """Returns a configuration with other preprocessing after the image is loaded."""
    return make_config(preprocessing={"_target_": "Compose", "transforms": [*LOAD, *transforms]})


def with_result_transforms(*transforms: Any) -> dict[str, Any]:
    """Returns a configuration with other postprocessing."""
    return make_config(postprocessing={"_target_": "Compose", "transforms": list(transforms)})


def write_bundle(
    folder: Path,
    config: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    *,
    name: str = "inference.json",
) -> Path:
    """Writes a bundle with weights that fit no network; returns its folder."""
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    encode: Callable[[Any], str] = json.dumps if name.endswith(".json") else yaml.safe_dump
    (folder / "configs" / name).write_text(encode(config or make_config()))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata or make_metadata()))
    torch.save(STATE, folder / "models" / "model.pt")
    (folder / "LICENSE").write_text("Apache License\n")
    return folder


def write_runnable_bundle(folder: Path, *transforms: Any) -> Path:
    """Writes a bundle with random weights that fit its network; returns its folder.

    Args:
        folder: The folder.
        transforms: Its preprocessing after the image is loaded; by default as ``make_config`` has it.
    """
    from monai.networks.nets import UNet

    network = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16]}
    config = with_transforms(*transforms) if transforms else make_config()
    write_bundle(folder, config | {"network_def": {"_target_": "UNet", **network}, "inferer": inferer})
    torch.manual_seed(3)
    torch.save(UNet(**network).state_dict(), folder / "models" / "model.pt")
    return folder
