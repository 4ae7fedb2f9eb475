"""Small MONAI Bundles that MONAI itself can run, with fitted weights: each like one bundle of the MONAI Model Zoo."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.helpers.fitted_networks import FitSettings, fit
from tests.helpers.foreign_bundles import (
    ARGMAX,
    LOAD,
    RAS,
    SOFTMAX,
    invert,
    make_config,
    make_metadata,
    result_transform,
    transform,
    write_bundle,
)

SAVE = result_transform("SaveImaged", output_dir="@output_dir", separate_folder=False)
UNET: dict[str, Any] = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "channels": [8, 16, 32],
    "strides": [2, 2],
    "num_res_units": 1,
    "norm": "batch",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What distinguishes one bundle.

    Attributes:
        network: Its ``network_def``.
        preprocessing: The transforms after the image is loaded.
        inferer: The arguments of its ``SlidingWindowInferer``.
        postprocessing: The transforms of the result.
        names: The names of its classes, background first.
        fit: What its network is fitted to.
        modality: The modality of the image.
        inputs: The names of its images, if there are several.
        loading: The transforms that load the image.
        scripts: Its own program, ``scripts/joining.py``.
        others: Other keys of its configuration.
        is_yaml: Whether the configuration is YAML.
    """

    network: Mapping[str, Any]
    preprocessing: tuple[Any, ...]
    inferer: Mapping[str, Any]
    postprocessing: tuple[Any, ...]
    names: tuple[str, ...]
    fit: FitSettings
    modality: str = "CT"
    inputs: tuple[str, ...] = ()
    loading: tuple[Any, ...] = LOAD
    scripts: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)
    is_yaml: bool = False


def _spacing(*lengths: float) -> dict[str, Any]:
    return transform("Spacingd", pixdim=list(lengths), mode="bilinear")


def _range(low: float, high: float) -> dict[str, Any]:
    return transform("ScaleIntensityRanged", a_min=low, a_max=high, b_min=0, b_max=1, clip=True)


_DINTS_SPACE = {
    "_target_": "TopologyInstance",
    "channel_mul": 0.25,
    "num_blocks": 4,
    "num_depths": 3,
    "use_downsample": True,
    "arch_code": ["$@arch_ckpt['arch_code_a']", "$@arch_ckpt['arch_code_c']"],
    "device": "$torch.device('cuda')",
}

RECIPES: dict[str, Recipe] = {
    "spleen": Recipe(
        network={**UNET, "out_channels": 2},
        preprocessing=(RAS, _spacing(3.0, 3.0, 4.0), _range(-57, 164), transform("EnsureTyped")),
        inferer={"roi_size": [24, 24, 16], "sw_batch_size": 4, "overlap": 0.5},
        postprocessing=(SOFTMAX, invert(nearest=False), ARGMAX),
        names=("background", "spleen"),
        fit=FitSettings(2),
    ),
    "whole_body": Recipe(
        network={
            "_target_": "SegResNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 5,
            "init_filters": 8,
            "blocks_down": [1, 2, 2],
            "blocks_up": [1, 1],
            "dropout_prob": 0.2,
        },
        preprocessing=(
            RAS,
            transform("Spacingd", pixdim="@pixdim", mode="bilinear"),
            transform("NormalizeIntensityd", nonzero=True),
            transform("ScaleIntensityd", minv=-1.0, maxv=1.0),
        ),
        inferer={
            "roi_size": [24, 24, 48],
            "overlap": "@displayable_configs#sw_overlap",
            "padding_mode": "replicate",
            "mode": "gaussian",
        },
        postprocessing=(SOFTMAX, ARGMAX, invert(nearest=True)),
        names=("background", "spleen", "liver", "left kidney", "right kidney"),
        fit=FitSettings(5, low=-1),
        others={
            "displayable_configs": {"highres": True, "sw_overlap": 0.25},
            "pixdim": "$[4.0, 4.0, 4.0] if @displayable_configs#highres else [6.0, 6.0, 6.0]",
        },
    ),
    "prostate": Recipe(
        network={**UNET, "out_channels": 3, "act": "prelu", "dropout": 0.15},
        preprocessing=(
            RAS,
            _spacing(3.0, 3.0, 3.0),
            transform("ScaleIntensityd", minv=0, maxv=1),
            transform("NormalizeIntensityd"),
            transform("EnsureTyped"),
        ),
        inferer={"roi_size": [32, 32, 32], "overlap": 0.5},
        postprocessing=(
            ARGMAX,
            result_transform("KeepLargestConnectedComponentd", applied_labels=[1, 2]),
            invert(nearest=False),
        ),
        names=("background", "central gland", "peripheral zone"),
        fit=FitSettings(3, low=-1.5, high=2.5),
        modality="MR",
    ),
    "dints": Recipe(
        network={
            "_target_": "monai.networks.nets.DiNTS",
            "dints_space": "@dints_space",
            "in_channels": 1,
            "num_classes": 3,
            "use_downsample": True,
            "node_a": "$torch.from_numpy(@arch_ckpt['node_a'])",
        },
        preprocessing=(RAS, _spacing(4, 4, 4), _range(-87, 199), transform("EnsureTyped")),
        inferer={"roi_size": [32, 32, 32], "sw_batch_size": 4, "overlap": 0.625},
        postprocessing=(SOFTMAX, invert(nearest=False), ARGMAX),
        names=("background", "pancreas", "pancreatic tumor"),
        fit=FitSettings(3, roi=(32, 32, 32)),
        others={
            "arch_ckpt_path": "$@bundle_root + '/models/search_code.pt'",
            "arch_ckpt": "$torch.load(@arch_ckpt_path, map_location=torch.device('cuda'))",
            "dints_space": _DINTS_SPACE,
        },
        is_yaml=True,
    ),
    "pediatric": Recipe(
        network={
            "_target_": "DynUNet",
            "spatial_dims": "$len(@spatial_size)",
            "in_channels": 1,
            "out_channels": 4,
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [8, 16, 16],
            "norm_name": "instance",
            "res_block": True,
        },
        preprocessing=(
            RAS,
            transform("Spacingd", pixdim=[3.0, 3.0, 4.0], mode=["bilinear"]),
            _range(-250, 400),
            transform("CropForegroundd", source_key="@image_key", mode=["minimum"]),
            transform("CastToTyped", dtype="$torch.float32"),
        ),
        inferer={"roi_size": "@spatial_size", "sw_batch_size": 4, "overlap": 0.75},
        postprocessing=(SOFTMAX, invert(nearest=False), ARGMAX),
        names=("background", "liver", "spleen", "pancreas"),
        fit=FitSettings(4, roi=(32, 32, 24)),
        others={"spatial_size": [32, 32, 24]},
        is_yaml=True,
    ),
}


_KEYS = ["artery", "vein", "excret"]
_SIGMOID = result_transform("Activationsd", sigmoid=True)
_THRESHOLD = result_transform("AsDiscreted", threshold=0.5)
_MERGE = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"
_SEGRESNET: dict[str, Any] = {"_target_": "SegResNet", "init_filters": 8, "blocks_down": [1, 2, 2], "blocks_up": [1, 1]}


def _phases(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": name, "keys": _KEYS, **arguments}


JOINING = '''"""Transforms of a bundle's own."""

import torch
from monai.transforms import InvertibleTransform, MapTransform


class Join(MapTransform, InvertibleTransform):
    """Puts several images into the channels of one."""

    def __init__(self, keys_merge, keys_out):
        super().__init__(keys_merge)
        self.out = keys_out

    def __call__(self, data):
        given = dict(data)
        joined = torch.cat([torch.as_tensor(given[key]) for key in self.keys])
        given[self.out] = given[self.keys[0]].clone().__class__(joined, meta=given[self.keys[0]].meta)
        return given

    def inverse(self, data):
        return data


class FirstWins(MapTransform):
    """Makes a label map of channels 0 or 1: the first channel that is set counts; channel 0 is background."""

    def __call__(self, data):
        given = dict(data)
        for key in self.keys:
            pred = given[key]
            labels = torch.zeros_like(pred[:1])
            for channel in range(pred.shape[0] - 1, 0, -1):
                labels[0][pred[channel] > 0] = channel
            given[key] = labels
        return given
'''
"""The program of a bundle that joins its images, and merges its masks."""

RECIPES_OF_SEVERAL_IMAGES: dict[str, Recipe] = {
    "brats": Recipe(
        network={**_SEGRESNET, "in_channels": 4, "out_channels": 3, "dropout_prob": 0.2},
        loading=(transform("LoadImaged", image_only=False),),
        preprocessing=(transform("NormalizeIntensityd", nonzero=True, channel_wise=True),),
        inferer={"roi_size": [64, 64, 32], "sw_batch_size": 1, "overlap": 0.5},
        postprocessing=(
            *(_SIGMOID, invert(nearest=False), _THRESHOLD),
            result_transform("Lambdad", func=_MERGE),
        ),
        names=("Tumor core", "Whole tumor", "Enhancing tumor"),
        fit=FitSettings(3, low=-1.5, high=2.5, overlapping=True, inputs=4, steps=120),
        modality="MR",
        inputs=("T1c", "T1", "T2", "FLAIR"),
    ),
    "cect": Recipe(
        network={**_SEGRESNET, "in_channels": 3, "out_channels": 4, "upsample_mode": "deconv", "norm_name": "group"},
        loading=(_phases("LoadImaged", image_only=False), _phases("EnsureChannelFirstd")),
        preprocessing=(
            _phases("Orientationd", axcodes="LPS"),
            _phases("Spacingd", pixdim=[3.0, 3.0, 3.0], mode="bilinear"),
            {"_target_": "scripts.joining.Join", "keys_merge": _KEYS, "keys_out": "image"},
            transform("ScaleIntensityRanged", a_min=-300, a_max=420, b_min=0.0, b_max=1.0, clip=True),
            transform("EnsureTyped"),
        ),
        inferer={"roi_size": [32, 32, 32], "sw_batch_size": 4, "overlap": 0.25},
        postprocessing=(
            {**invert(nearest=False), "orig_keys": "artery"},
            *(_SIGMOID, _THRESHOLD),
            result_transform("scripts.joining.FirstWins"),
        ),
        names=("background", "artery", "vein", "neoplasm"),
        fit=FitSettings(4, overlapping=True, inputs=3, steps=120),
        inputs=("image", "", ""),
        scripts=JOINING,
    ),
}


def write_fitted_bundle(folder: Path, recipe: Recipe) -> Path:
    """Writes a bundle with fitted weights; returns its folder."""
    config = make_config(
        network_def=dict(recipe.network),
        preprocessing={"_target_": "Compose", "transforms": [*recipe.loading, *recipe.preprocessing]},
        inferer={"_target_": "SlidingWindowInferer", **recipe.inferer},
        postprocessing={"_target_": "Compose", "transforms": [*recipe.postprocessing, SAVE]},
        dataset={"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
        dataloader={"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 4},
        evaluator={
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "amp": True,
        },
        **recipe.others,
    )
    channels = {str(number): name for number, name in enumerate(recipe.inputs)}
    images = {"num_channels": len(channels), "channel_def": channels} if channels else {}
    metadata = make_metadata(modality=recipe.modality, **images)
    channels = {str(number): name for number, name in enumerate(recipe.names)}
    metadata["network_data_format"]["outputs"]["pred"] |= {"num_channels": len(channels), "channel_def": channels}
    write_bundle(folder, config, metadata, name="inference.yaml" if recipe.is_yaml else "inference.json")
    if recipe.scripts:
        (folder / "scripts").mkdir()
        (folder / "scripts" / "__init__.py").touch()
        (folder / "scripts" / "joining.py").write_text(recipe.scripts)
    if "dints_space" in config:
        torch.save(_architecture(recipe.others["dints_space"]), folder / "models" / "search_code.pt")
    torch.manual_seed(7)
    network = fit(_build_network(config, folder), recipe.fit)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def _architecture(space: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the architecture file of DiNTS: NumPy arrays."""
    shape = (space["num_blocks"], 3 * space["num_depths"] - 2)
    return {
        "arch_code_a": np.ones(shape, dtype=np.int64),
        "arch_code_c": np.random.default_rng(0).integers(1, 3, shape),
        "node_a": np.ones((shape[0] + 1, space["num_depths"]), dtype=np.int64),
    }


def _build_network(config: Mapping[str, Any], folder: Path) -> torch.nn.Module:
    """Returns the network of a configuration, as MONAI builds it, on the CPU."""
    from monai.bundle import ConfigParser

    content = copy.deepcopy(dict(config)) | {"bundle_root": str(folder)}
    if "dints_space" in content:
        content["arch_ckpt"] = "$torch.load(@arch_ckpt_path, weights_only=False)"
        content["dints_space"] |= {"device": "cpu"}
    network: torch.nn.Module = ConfigParser(content).get_parsed_content("network_def")
    return network
