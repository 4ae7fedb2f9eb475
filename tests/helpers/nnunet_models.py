"""Small trained models of nnU-Net: the files and keys that its trainer writes, with random or hand-made weights."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clickseg.inference.engines.network import build_from_definition
from tests.helpers.fitted_networks import FitSettings, fit

IDENTIFIER = "nnUNetTrainer__nnUNetPlans__3d_fullres"
INTENSITIES = {"mean": 50.0, "std": 100.0, "percentile_00_5": -150.0, "percentile_99_5": 250.0, "max": 3000.0}
LABELS = {"background": 0, "spleen": 1, "liver": 2}
REGIONS = {"background": 0, "whole tumour": [1, 2], "core": 2}
KINDS = {"PlainConvUNet": "n_conv_per_stage", "ResidualEncoderUNet": "n_blocks_per_stage"}
RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}


def make_architecture(kind: str = "PlainConvUNet", **changes: Any) -> dict[str, Any]:
    """Returns the entry ``architecture`` of a configuration, with changes of the arguments."""
    arguments: dict[str, Any] = {
        "n_stages": 2,
        "features_per_stage": [4, 6],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        KINDS.get(kind, "n_conv_per_stage"): [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    name = kind if "." in kind else f"dynamic_network_architectures.architectures.unet.{kind}"
    return {
        "network_class_name": name,
        "arch_kwargs": arguments | changes,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def make_configuration(inputs: int = 1, **changes: Any) -> dict[str, Any]:
    """Returns the configuration ``3d_fullres``, with changes of its entries; ``...`` removes one."""
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 16, 16],
        "spacing": [3.0, 1.5, 1.25],
        "normalization_schemes": ["CTNormalization"] * inputs,
        "use_mask_for_norm": [False] * inputs,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": RESAMPLING,
        "resampling_fn_seg_kwargs": RESAMPLING | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": RESAMPLING | {"order": 1},
        "architecture": make_architecture(),
    } | changes
    return {key: value for key, value in configuration.items() if value is not ...}


def make_plans(configuration: Mapping[str, Any] | None = None, inputs: int = 1, **changes: Any) -> dict[str, Any]:
    """Returns ``plans.json``, with changes of its keys; ``...`` removes one."""
    plans = {
        "dataset_name": "Dataset007_Abdomen",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": dict(configuration or make_configuration(inputs))},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(channel): INTENSITIES for channel in range(inputs)},
    } | changes
    forward: Any = plans["transpose_forward"]
    plans["transpose_backward"] = [forward.index(axis) if axis in forward else 0 for axis in range(3)]
    return copy.deepcopy({key: value for key, value in plans.items() if value is not ...})


def make_dataset(names: Sequence[str] = ("CT",), **changes: Any) -> dict[str, Any]:
    """Returns ``dataset.json``, with changes of its keys; ``...`` removes one."""
    dataset = {
        "channel_names": {str(number): name for number, name in enumerate(names)},
        "labels": LABELS,
        "numTraining": 12,
        "file_ending": ".nii.gz",
    } | changes
    return {key: value for key, value in dataset.items() if value is not ...}


def make_state(definition: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Returns random weights with the names of nnU-Net's state dicts, which contain many of them again."""
    torch.manual_seed(seed)
    return with_aliases(build_from_definition(dict(definition), "test").state_dict())


def with_aliases(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns weights also under the other names that nnU-Net's state dicts have for them."""
    positions = {"conv": 0, "norm": 1, "nonlin": 2}
    named = dict(state)
    for name, values in state.items():
        block, part, kind = (*name.rsplit(".", 2),) if name.count(".") > 1 else ("", "", "")
        if part in positions:
            named[f"{block}.all_modules.{positions[part]}.{kind}"] = values
    return named | {f"decoder.{name}": values for name, values in named.items() if name.startswith("encoder.")}


def make_checkpoint(state: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns what nnU-Net's trainer saves, with changes of its keys; ``...`` removes one."""
    checkpoint = {
        "network_weights": dict(state),
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 1e-5}]},
        "grad_scaler_state": None,
        "logging": {"ema_fg_dice": [np.float64(0.8)], "dice_per_class_or_region": [[np.float32(0.8)] * 2]},
        "_best_ema": np.float64(0.8),
        "current_epoch": 1000,
        "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    } | changes
    return {key: value for key, value in checkpoint.items() if value is not ...}


def network_of(plans: Mapping[str, Any], inputs: int, outputs: int) -> dict[str, Any]:
    """Returns the ``network_def`` of the configuration ``3d_fullres`` of ``make_plans``, by hand."""
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    unused = ("conv_op", "dropout_op", "dropout_op_kwargs", "deep_supervision")
    arguments = {key: value for key, value in architecture["arch_kwargs"].items() if key not in unused}
    short = {key: arguments[key].rpartition(".")[2] for key in ("norm_op", "nonlin")}
    name = architecture["network_class_name"].rpartition(".")[2]
    return {"_target_": name, "input_channels": inputs, "num_classes": outputs, **arguments, **short}


def write_model(
    folder: Path,
    plans: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    folds: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Writes the folder of a model.

    Args:
        folder: The folder.
        plans: Its plans.
        dataset: Its dataset.
        folds: The checkpoints by fold; None for fold 0 with random weights for the plans.
    """
    plans, dataset = plans or make_plans(), dataset or make_dataset()
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    if folds is None:
        definition = network_of(plans, len(dataset["channel_names"]), count_outputs(dataset["labels"]))
        folds = {"0": make_checkpoint(make_state(definition))}
    for fold, checkpoint in folds.items():
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def count_outputs(labels: Mapping[str, Any]) -> int:
    """Returns the number of output channels: regions have no background."""
    known = [label for name, label in labels.items() if name != "ignore"]
    return len(known) - 1 if any(isinstance(label, list) for label in known) else len(known)


def zip_model(path: Path, folder: Path) -> Path:
    """Writes a zip file as nnU-Net exports a model: the folder of the dataset, and in it that of the model."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent.parent))
    return path


def make_fitted_state(definition: Mapping[str, Any], settings: FitSettings, seed: int = 0) -> dict[str, Any]:
    """Returns fitted weights; of several inputs, those after the first change the logits only a little."""
    torch.manual_seed(seed)
    inputs = definition["input_channels"]
    network = fit(build_from_definition({**definition, "input_channels": 1}, "test"), settings)
    first = next(name for name in network.state_dict() if name.endswith("conv.weight"))
    state = dict(network.state_dict())
    state[first] = torch.cat([state[first], *[state[first] * 0.05] * (inputs - 1)], 1)
    return with_aliases(state)
