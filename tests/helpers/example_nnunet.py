"""The folders that the pages about models assume: small models of nnU-Net and TotalSegmentator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from pydicom import Dataset

from tests.helpers import nnunet_models as nn
from tests.helpers import phantoms
from tests.helpers import totalsegmentator_models as ts
from tests.helpers.described_series import CONTRASTS, write_described_series

_COARSE = {"patch_size": [16, 32, 32], "spacing": [8.0, 6.0, 6.0]}
_WINDOW = [48, 48, 48]


def write_nnunet_folders(folder: Path) -> None:
    """Writes ``nnUNet_results``, a training image, a study of the brain, and models of TotalSegmentator."""
    results = folder / "nnUNet_results"
    _write_model(results / "Dataset007_Abdomen", ["CT"], {"background": 0, "spleen": 1, "spl_les": 2}, folds=3)
    _write_model(results / "Dataset012_Glioma", ["T1c", "FLAIR"], {"background": 0, "tumour": 1}, folds=1)
    _write_training_image(folder / "imagesTr" / "abdomen_001_0000.nii.gz")
    write_brain_study(folder / "brain")
    write_totalsegmentator_folder(folder, (*ts.PARTS, 297))


def write_totalsegmentator_folder(folder: Path, numbers: Sequence[int]) -> None:
    """Writes datasets of TotalSegmentator into ``.totalsegmentator``."""
    datasets = folder / ".totalsegmentator" / "nnunet" / "results"
    for number in numbers:
        ts.write_dataset(datasets, number, patch_size=_WINDOW)


def write_example_model(folder: Path) -> Path:
    """Writes the folder of a dataset of nnU-Net with one model."""
    return _write_model(folder, ["CT"], {"background": 0, "spleen": 1}, folds=1)


def write_brain_study(folder: Path) -> Path:
    """Writes a study of the brain with four MR series, whose UIDs are 1.2.3.4 to 1.2.3.7."""
    geometry = phantoms.oblique_geometry((16, 24, 28))
    volume = phantoms.hook_volume(geometry, inside=400, outside=100)
    write_described_series(folder, [(description, volume) for description in CONTRASTS.values()])
    for number, series in enumerate(sorted(folder.iterdir()), 4):
        phantoms.change(series, lambda dataset, uid=f"1.2.3.{number}": _set_uid(dataset, uid))  # type: ignore[misc]
    return folder


def _set_uid(dataset: Dataset, uid: str) -> None:
    dataset.SeriesInstanceUID = uid


def _write_model(folder: Path, channels: Sequence[str], labels: dict[str, int], folds: int) -> Path:
    """Writes the folder of a dataset with one configuration, whose folds have different weights."""
    inputs = len(channels)
    changes: dict[str, Any] = {} if channels[0] == "CT" else {"normalization_schemes": ["ZScoreNormalization"] * inputs}
    plans = nn.make_plans(nn.make_configuration(inputs, **_COARSE, **changes), inputs, dataset_name=folder.name)
    definition = nn.network_of(plans, inputs, len(labels))
    checkpoints = {str(fold): nn.make_checkpoint(nn.make_state(definition, fold)) for fold in range(folds)}
    nn.write_model(folder / nn.IDENTIFIER, plans, nn.make_dataset(channels, labels=labels), checkpoints)
    return folder


def _write_training_image(path: Path) -> None:
    """Writes an image as dcm2niix stores axial slices: columns to the left, rows to the front."""
    path.parent.mkdir(parents=True)
    affine = np.diag([-1.5, 1.5, 3.0, 1.0])  # of NIfTI: x to the right, y to the front
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine), path)  # type: ignore[no-untyped-call, attr-defined]
