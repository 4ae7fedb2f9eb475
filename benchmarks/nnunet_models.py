"""Trained models of nnU-Net for its benchmark: networks that are fitted, so that labels follow intensities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from clickseg.inference.engines.network import build_from_definition
from tests.helpers import nnunet_models as files
from tests.helpers.fitted_networks import FitSettings, fit

_CT_VALUES, _ZSCORES = (-2.0, 2.0), (-1.5, 2.5)
_ORGANS = {"background": 0, "spleen": 1, "liver": 2, "kidney": 3}
_REGIONS = {"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3], "enhancing": 3}
_ALL_AXES = (0, 1, 2)
_LARGE_FEATURES = (32, 64, 128, 256, 320)
_SMALL_FEATURES = (8, 16, 16)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model, and what its networks are fitted to.

    Attributes:
        name: What the model differs in.
        kind: The class of its network.
        features: The number of features of each stage.
        convolutions: The number of convolutions of each stage, or of residual blocks.
        channels: The names of the input channels.
        configuration: Changes of the configuration ``3d_fullres``.
        plans: Changes of the plans.
        dataset: Changes of the dataset.
        mirror_axes: The axes along which windows may be mirrored.
        folds: The number of folds.
        values: The smallest and the largest value of the scaled images.
        fit_roi: The size of the windows that the networks are fitted to.
        fit_steps: The number of steps.
        has_old_plans: Whether the plans describe the network as those of nnU-Net 2.0 to 2.2 do.
    """

    name: str
    kind: str = "PlainConvUNet"
    features: tuple[int, ...] = _SMALL_FEATURES
    convolutions: int = 1
    channels: tuple[str, ...] = ("CT",)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    plans: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    mirror_axes: tuple[int, ...] | None = _ALL_AXES
    folds: int = 1
    values: tuple[float, float] = _CT_VALUES
    fit_roi: tuple[int, int, int] = (24, 24, 24)
    fit_steps: int = 150
    has_old_plans: bool = False


COMPARED = (
    TrainedModel("CT, isotropic", configuration={"spacing": [2.5, 2.5, 2.5], "patch_size": [24, 32, 32]}),
    TrainedModel("thick slices", configuration={"spacing": [7.0, 1.6, 1.6], "patch_size": [12, 32, 32]}),
    TrainedModel(
        "two images, values within a mask, regions, transposed axes",
        channels=("T1", "FLAIR"),
        configuration={"normalization_schemes": ["ZScoreNormalization"] * 2, "use_mask_for_norm": [True, True]},
        plans={"transpose_forward": [1, 0, 2]},
        dataset={"labels": _REGIONS, "regions_class_order": [1, 2, 3]},
        values=_ZSCORES,
    ),
    TrainedModel("residual encoder, two folds", kind="ResidualEncoderUNet", folds=2),
    TrainedModel("plans of nnU-Net 2.0 to 2.2", has_old_plans=True),
    TrainedModel("no mirroring", mirror_axes=None),
)
"""The models whose labels are compared."""

TIMED = TrainedModel(
    "5 stages, 32 to 320 features",
    features=_LARGE_FEATURES,
    convolutions=2,
    configuration={"spacing": [1.5, 1.5, 1.5], "patch_size": [64, 64, 64]},
    dataset={"labels": _ORGANS | {"pancreas": 4}},
    fit_roi=(32, 32, 32),
    fit_steps=40,
)
"""The network that nnU-Net plans for windows of 64 voxels."""

MEASURED = TrainedModel(
    "14 classes",
    configuration={"spacing": [3.0, 3.0, 3.0], "patch_size": [64, 64, 64]},
    dataset={"labels": {"background": 0, **{f"organ {number}": number for number in range(1, 14)}}},
    mirror_axes=None,
)
"""The model whose memory is measured: a small network on a coarse grid, so that it ends soon."""


def write_trained_model(folder: Path, model: TrainedModel) -> Path:
    """Fits the networks of a model, and writes its folder as nnU-Net's trainer does.

    Args:
        folder: The folder, which must not exist.
        model: The model.
    """
    inputs = len(model.channels)
    plans = files.make_plans(_configuration(model, inputs), inputs, **model.plans)
    dataset = files.make_dataset(model.channels, **{"labels": _ORGANS, "file_ending": ".mha", **model.dataset})
    definition = files.network_of(plans, inputs, files.count_outputs(dataset["labels"]))
    folds = {
        str(fold): files.make_checkpoint(
            _fitted_state(definition, model, fold), inference_allowed_mirroring_axes=model.mirror_axes
        )
        for fold in range(model.folds)
    }
    if model.has_old_plans:
        plans["configurations"]["3d_fullres"] = _older(plans["configurations"]["3d_fullres"])
    return files.write_model(folder, plans, dataset, folds)


def _configuration(model: TrainedModel, inputs: int) -> dict[str, Any]:
    stages = len(model.features)
    network = {
        "n_stages": stages,
        "features_per_stage": list(model.features),
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        files.KINDS[model.kind]: [model.convolutions] * stages,
        "n_conv_per_stage_decoder": [model.convolutions] * (stages - 1),
    }
    architecture = files.make_architecture(model.kind, **network)
    defaults = {"spacing": [4.0, 2.5, 2.5], "patch_size": [16, 32, 32], "architecture": architecture}
    return files.make_configuration(inputs, **{**defaults, **model.configuration})


def _fitted_state(definition: Mapping[str, Any], model: TrainedModel, seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    network = build_from_definition(dict(definition), "benchmark")
    settings = FitSettings(
        definition["num_classes"],
        *model.values,
        roi=model.fit_roi,
        overlapping="regions_class_order" in model.dataset,
        inputs=len(model.channels),
        steps=model.fit_steps,
    )
    return files.with_aliases(fit(network, settings).state_dict())


def _older(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with the keys of nnU-Net 2.0 to 2.2."""
    arguments = configuration["architecture"]["arch_kwargs"]
    older = {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": arguments["features_per_stage"][0],
        "unet_max_num_features": max(arguments["features_per_stage"]),
        "n_conv_per_stage_encoder": arguments["n_conv_per_stage"],
        "n_conv_per_stage_decoder": arguments["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [arguments["n_stages"] - 1] * 3,
        "pool_op_kernel_sizes": arguments["strides"],
        "conv_kernel_sizes": arguments["kernel_sizes"],
    }
    return {**{key: value for key, value in configuration.items() if key != "architecture"}, **older}
