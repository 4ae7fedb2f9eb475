"""The models that the page "Run your own model" assumes, small and with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import SegResNetDS, UNet

from tests.helpers.auto3dseg_files import write_auto3dseg_zip
from tests.helpers.example_nnunet import write_brain_study, write_example_model, write_totalsegmentator_folder
from tests.helpers.fitted_bundles import RECIPES_OF_SEVERAL_IMAGES, write_fitted_bundle
from tests.helpers.fitted_files import sw_fastedit_network
from tests.helpers.foreign_bundles import RANGE, RAS, make_config, transform, write_bundle

_LABELS = """LabelValue,Name,SegmentedPropertyCategoryCodeSequence.CodingSchemeDesignator,\
SegmentedPropertyCategoryCodeSequence.CodeValue,SegmentedPropertyCategoryCodeSequence.CodeMeaning,\
SegmentedPropertyTypeCodeSequence.CodingSchemeDesignator,SegmentedPropertyTypeCodeSequence.CodeValue,\
SegmentedPropertyTypeCodeSequence.CodeMeaning
1,liver,SCT,123037004,Anatomical Structure,SCT,10200004,Liver
"""
_UNET: dict[str, Any] = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
_ROI = [64, 64, 32]


def write_example_models(folder: Path) -> None:
    """Writes two MONAI Bundles, a model of MONAIAuto3DSeg, a checkpoint and a TorchScript file.

    Also writes models of nnU-Net and TotalSegmentator, and the study of the brain for the second bundle.
    """
    torch.manual_seed(4)
    _write_spleen_bundle(folder / "spleen_ct_segmentation")
    _write_brats_bundle(folder / "brats_mri_segmentation")
    write_brain_study(folder / "brain")
    _write_zip(folder / "organs-v1.0.0.zip")
    write_example_model(folder / "Dataset009_Spleen")
    write_totalsegmentator_folder(folder, [297])
    torch.save({"trainer": {"iteration": 1}, "net": sw_fastedit_network([4] * 6).state_dict()}, folder / "pet.pt")
    _write_program(folder / "spleen.ts")


def _write_spleen_bundle(folder: Path) -> None:
    spacing = transform("Spacingd", pixdim=[4.1, 4.1, 5.3], mode="bilinear")
    config = make_config(
        network_def={"_target_": "UNet", **_UNET},
        preprocessing={
            "_target_": "Compose",
            "transforms": [transform("LoadImaged"), transform("EnsureChannelFirstd"), RAS, spacing, RANGE],
        },
        inferer={"_target_": "SlidingWindowInferer", "roi_size": _ROI, "sw_batch_size": 4, "overlap": 0.5},
        **_evaluation(),
    )
    write_bundle(folder, config)
    torch.save(UNet(**_UNET).state_dict(), folder / "models" / "model.pt")


def _write_brats_bundle(folder: Path) -> None:
    recipe = RECIPES_OF_SEVERAL_IMAGES["brats"]
    write_fitted_bundle(folder, replace(recipe, fit=replace(recipe.fit, steps=1)))


def _evaluation() -> dict[str, Any]:
    """Returns the parts of a configuration that only MONAI needs to run it."""
    return {
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 4},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "@image_key",
                    "nearest_interp": False,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "amp": True,
        },
    }


def _write_zip(path: Path) -> None:
    network = {"init_filters": 4, "blocks_down": [1, 1], "in_channels": 1, "out_channels": 2, "dsdepth": 1}
    config = {
        "network": {"_target_": "SegResNetDS", **network},
        "modality": "ct",
        "normalize_mode": "range",
        "intensity_bounds": [-250.0, 250.0],
        "roi_size": _ROI,
        "resample": True,
        "resample_resolution": [4.0, 4.0, 4.0],
        "orientation_ras": True,
        "crop_foreground": True,
        "sigmoid": False,
    }
    state = SegResNetDS(spatial_dims=3, **network).state_dict()
    write_auto3dseg_zip(path, {"config": config, "state_dict": state}, _LABELS)


def _write_program(path: Path) -> None:
    torch.jit.script(UNet(**_UNET).eval()).save(str(path))
    description = {
        "inputs": [
            {"name": "image", "modality": "CT", "unit": "HU", "scaling": {"kind": "range", "a_min": -57, "a_max": 164}}
        ],
        "grid": {"spacing_mm": [4.0, 4.0, 5.0]},
        "window": {"roi": _ROI},
        "activation": "softmax",
        "classes": [{"name": "spleen", "channel": 1}],
    }
    path.with_suffix(".json").write_text(json.dumps(description))
