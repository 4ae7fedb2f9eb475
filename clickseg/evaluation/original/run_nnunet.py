"""Runs a trained model by nnU-Net's own predictor on NIfTI files, on the CPU.

    python -m clickseg.evaluation.original.run_nnunet REQUEST

nnU-Net unpickles the checkpoints, which executes what they contain: only for models that the user trusts. The labels
that are written are numbers of channels; for regions, one mask for each channel.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
"""Folders that nnU-Net asks for, but does not use here."""

_INPUT, _OUTPUT = "input", "output"


def run(request: Mapping[str, Any]) -> None:
    """Runs a model.

    Args:
        request: ``images`` (one file for each channel), ``labels`` (the file that is written), ``axes`` (how images are
            stored for nnU-Net), ``source`` (the folder of the model, or a zip file), ``folder`` (in the zip file),
            ``folds``, ``checkpoint`` and ``mirroring``.
    """
    import SimpleITK

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = _model_folder(request, folder)
        volumes = [_read_image(Path(path), folder) for path in request["images"]]
        images = [folder / f"{_INPUT}_{channel:04d}.nii.gz" for channel in range(len(volumes))]
        for volume, image in zip(volumes, images, strict=True):  # axes are the closest to the stated ones
            SimpleITK.WriteImage(SimpleITK.DICOMOrient(volume, request["axes"]), str(image))
        _predict(request, model, images, folder / _OUTPUT)
        labels = SimpleITK.ReadImage(str(folder / f"{_OUTPUT}.nii.gz"))
        values = json.loads((model / "dataset.json").read_text()).get("regions_class_order")
    turned = SimpleITK.Resample(labels, volumes[0], SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor)
    array = SimpleITK.GetArrayFromImage(turned).astype(np.int16)
    masks = array if values is None else np.stack([array == value for value in values]).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(masks), request["labels"])


def _model_folder(request: Mapping[str, Any], temporary: Path) -> Path:
    """Returns the folder of the model, extracted if it is in a zip file."""
    source = Path(request["source"])
    if source.is_dir():
        return source
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            if name.startswith(request["folder"]):
                archive.extract(name, temporary)
    return Path(temporary, request["folder"])


def _read_image(path: Path, folder: Path) -> Any:
    """Reads a NIfTI-2 file by SimpleITK, which reads only NIfTI-1."""
    import nibabel
    import SimpleITK

    image: Any = nibabel.load(path)
    copy = folder / "nifti1.nii.gz"
    make_image: Callable[..., Any] = nibabel.Nifti1Image
    nibabel.save(make_image(np.asarray(image.dataobj), image.affine), copy)
    return SimpleITK.ReadImage(str(copy))


def _predict(request: Mapping[str, Any], model: Path, images: Sequence[Path], output: Path) -> None:
    """Writes the labels of nnU-Net's prediction."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=request["mirroring"], device=torch.device("cpu"), allow_tqdm=False)
    folds = [fold if fold == "all" else int(fold) for fold in request["folds"]]
    predictor.initialize_from_trained_model_folder(str(model), folds, request["checkpoint"])
    predictor.dataset_json = {**predictor.dataset_json, "file_ending": ".nii.gz"}
    predictor.predict_from_files_sequential([[str(image) for image in images]], [str(output)])


def main() -> None:
    """Runs the request in the first argument."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(_VARIABLES, folder))
        run(json.loads(sys.argv[1]))


if __name__ == "__main__":
    main()
