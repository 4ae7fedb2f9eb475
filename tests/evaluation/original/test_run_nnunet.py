"""The labels of models of nnU-Net are those of its own prediction, run by ``clickseg models check``.

nnU-Net adds logits in f16, which changes a few voxels at the borders of labels.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import nnunet_models as nn
from tests.helpers import phantoms, runs
from tests.helpers.fitted_networks import FitSettings
from tests.helpers.smooth_series import smooth_volume

BAR_PERCENT = 99.95
CT_VALUES, ZSCORES = (-2.0, 2.0), (-1.5, 2.5)
LABELS = {"background": 0, "spleen": 1, "liver": 2, "kidney": 3}
REGIONS = {"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3], "enhancing": 3}
THREE = {"n_stages": 3, "features_per_stage": [8, 16, 16], "kernel_sizes": 3, "strides": [1, 2, 2]}
DECODER = {"n_conv_per_stage_decoder": [1, 1]}


@dataclass(frozen=True)
class Case:
    """A model, and what its network is fitted to."""

    kind: str = "PlainConvUNet"
    modalities: tuple[str, ...] = ("CT",)
    configuration: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    mirror_axes: tuple[int, ...] | None = (0, 1, 2)
    folds: int = 1
    values: tuple[float, float] = CT_VALUES
    options: tuple[str, ...] = ()


MASKED = {"normalization_schemes": ["ZScoreNormalization"] * 2, "use_mask_for_norm": [True, True]}
CASES = {
    "plain": Case(),
    "thick slices": Case(configuration={"spacing": [7.0, 1.6, 1.6], "patch_size": [12, 32, 32]}),
    "two inputs, regions, transposed": Case(
        modalities=("CT", "MR"),
        configuration=MASKED,
        plans={"transpose_forward": [1, 0, 2]},
        dataset={"labels": REGIONS, "regions_class_order": [1, 2, 3]},
        mirror_axes=(0, 1),
        values=ZSCORES,
    ),
    "residual, two folds": Case(kind="ResidualEncoderUNet", folds=2, mirror_axes=None),
    "minimum and maximum": Case(
        configuration={"normalization_schemes": ["RescaleTo01Normalization"]}, values=(0, 1), mirror_axes=None
    ),
    "turned to RAS": Case(plans={"image_reader_writer": "NibabelIOWithReorient"}),
    "stored as RAS": Case(options=("--stored-axes", "RAS"), mirror_axes=(2,)),
    "other resampling": Case(
        configuration={
            f"resampling_fn_{name}{suffix}": value
            for name in ("data", "probabilities")
            for suffix, value in (("", "resample_torch_fornnunet"), ("_kwargs", {"is_seg": False}))
        },
        mirror_axes=None,
    ),
}


def write_case(folder: Path, case: Case) -> Path:
    counts = {nn.KINDS[case.kind]: [1, 1, 1]}
    configuration = {
        "spacing": [4.0, 2.5, 2.5],
        "patch_size": [16, 32, 32],
        "architecture": nn.make_architecture(case.kind, **THREE, **DECODER, **counts),
        **case.configuration,
    }
    inputs = len(case.modalities)
    plans = nn.make_plans(nn.make_configuration(inputs, **configuration), inputs, **case.plans)
    dataset = nn.make_dataset(case.modalities, **{"labels": LABELS, **case.dataset})
    outputs = nn.count_outputs(dataset["labels"])
    settings = FitSettings(outputs, *case.values, overlapping=dataset["labels"] is REGIONS, steps=150)
    definition = nn.network_of(plans, inputs, outputs)
    folds = {
        str(fold): nn.make_checkpoint(
            nn.make_fitted_state(definition, settings, fold), inference_allowed_mirroring_axes=case.mirror_axes
        )
        for fold in range(case.folds)
    }
    return nn.write_model(folder, plans, dataset, folds)


def write_study(folder: Path, modalities: tuple[str, ...]) -> Path:
    for modality in modalities:
        volume = smooth_volume(modality, (30, 56, 64))
        phantoms.write(folder / modality, volume, modality)
    return folder


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_labels_are_those_of_the_prediction_of_nnunet(tmp_path: Path, name: str) -> None:
    pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: pip install nnunetv2")
    case = CASES[name]
    study, model = write_study(tmp_path / "study", case.modalities), write_case(tmp_path / "m", case)

    result = runs.run_clickseg("models", "check", model, "--data", study, "--cache", tmp_path / "cache", *case.options)

    assert result.stdout.startswith("original: nnU-Net's own prediction\n"), result.stderr
    (percent,) = re.findall(r": ([\d.]+)% of voxels have the same label", result.stdout)
    assert float(percent) >= BAR_PERCENT, result.stdout


@pytest.mark.oracle
def test_an_exported_zip_file_is_the_same_for_nnunet(tmp_path: Path) -> None:
    pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: pip install nnunetv2")
    folder = write_case(tmp_path / "Dataset007_Abdomen" / nn.IDENTIFIER, CASES["plain"])
    path, study = nn.zip_model(tmp_path / "x.zip", folder), write_study(tmp_path / "study", ("CT",))

    result = runs.run_clickseg("models", "check", path, "--data", study, "--cache", tmp_path / "cache")

    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(importlib.util.find_spec("nnunetv2") is not None, reason="nnU-Net is installed")
def test_without_nnunet_its_models_cannot_be_checked(tmp_path: Path) -> None:
    model = nn.write_model(tmp_path / "m")

    result = runs.run_clickseg("models", "check", model, "--data", tmp_path)

    assert (result.returncode, "pip install nnunetv2" in result.stderr) == (1, True)
