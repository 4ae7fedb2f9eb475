"""Runs a model package by MONAI's transforms and sliding window on one NIfTI file, on the CPU.

    python -m clickseg.evaluation.original.run_described REQUEST

It does as the package describes, without clicks, and shares only the network with ClickSeg. The labels that are written
are numbers of logit channels; with sigmoid, one mask for each logit channel. Of the postprocessing, only
``keep: largest`` is applied.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import torch
from monai import transforms
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from clickseg.inference.engines.main_output import MainOutput
from clickseg.inference.engines.torch_engine import load_module
from clickseg.models.package import load_package
from clickseg.models.spec import (
    CropSpec,
    GaussianSmoothing,
    GridSpec,
    ModelSpec,
    PercentileScaling,
    RangeScaling,
    SigmoidScaling,
    SquareRootScaling,
    TanhScaling,
    ZScoreScaling,
)

_IMAGE, _LABELS, _RAW = "image", "pred", "raw"

_NEIGHBOURS = {"faces": 1, "full": 3}
"""How many coordinates of two neighbouring voxels may differ."""


def run(source: Path, image: Path, labels: Path, modality: str) -> None:
    """Runs a model on a series of one modality, and writes the labels as NIfTI on the grid of the image."""
    import SimpleITK

    package = load_package(source).for_modality(modality)
    preprocessing = transforms.Compose(preprocessing_transforms(package.spec))
    data = preprocessing({_IMAGE: str(image)})
    network = MainOutput(load_module(package)).eval()
    with torch.inference_mode():
        logits = _infer(data[_IMAGE], network, package.spec)
    data[_LABELS] = MetaTensor(logits, meta=data[_IMAGE].meta, applied_operations=data[_IMAGE].applied_operations)
    channels = transforms.Compose(postprocessing_transforms(package.spec, preprocessing))(data)[_LABELS]
    array = np.asarray(channels).transpose(0, 3, 2, 1).round().astype(np.int16)
    written = SimpleITK.GetImageFromArray(array[0] if package.spec.activation == "softmax" else array)
    SimpleITK.WriteImage(written, str(labels))


def preprocessing_transforms(spec: ModelSpec) -> list[Any]:
    """Returns MONAI's transforms from the file to the model grid."""
    image, crop = spec.inputs[0], spec.crop
    scaling = [_scaling_transform(step) for step in image.scaling_steps]
    on_source, on_model = (scaling, []) if image.scale_before_resampling else ([], scaling)
    if crop is not None and crop.grid == "source":
        on_source = _with_crop(on_source, crop)
    elif crop is not None:
        on_model = _with_crop(on_model, crop)
    loading = [transforms.LoadImaged(_IMAGE), transforms.EnsureChannelFirstd(_IMAGE)]
    return [*loading, *_turning(spec.grid), *on_source, *_spacing(spec.grid), *on_model]


def _with_crop(scaling: list[Any], crop: CropSpec) -> list[Any]:
    """Returns the scaling on one grid, and the crop before or after it."""

    def is_foreground(values: torch.Tensor) -> torch.Tensor:
        return values > 0 if crop.voxels == "positive" else values != 0

    def cropping(source: str) -> Any:
        return transforms.CropForegroundd(
            _IMAGE, source_key=source, select_fn=is_foreground, margin=crop.margin_vox, allow_smaller=True
        )

    if crop.statistics == "volume":
        return [transforms.CopyItemsd(_IMAGE, names=_RAW), *scaling, cropping(_RAW)]
    return [cropping(_IMAGE), *scaling] if crop.values == "source" else [*scaling, cropping(_IMAGE)]


def _turning(grid: GridSpec) -> list[Any]:
    return [] if grid.orientation == "source" else [transforms.Orientationd(_IMAGE, axcodes=grid.orientation)]


def _spacing(grid: GridSpec) -> list[Any]:
    lengths = [None if length == "source" else float(length) for length in grid.spacing_mm]
    if all(length is None for length in lengths):
        return []
    low, high = grid.spacing_tolerance or (np.nan, np.nan)
    return [
        transforms.Spacingd(
            _IMAGE,
            pixdim=[length or -1 for length in lengths],
            mode="bilinear",
            min_pixdim=[length * low if length else np.nan for length in lengths],
            max_pixdim=[length * high if length else np.nan for length in lengths],
        )
    ]


def _scaling_transform(step: Any) -> Any:
    match step:
        case RangeScaling():
            return transforms.ScaleIntensityRanged(_IMAGE, step.a_min, step.a_max, step.b_min, step.b_max, step.clip)
        case PercentileScaling():
            return transforms.ScaleIntensityRangePercentilesd(
                _IMAGE, step.lower, step.upper, step.b_min, step.b_max, step.clip
            )
        case ZScoreScaling(centre="minimum"):
            return transforms.Lambdad(_IMAGE, lambda image: _scale_from_minimum(image, step.nonzero))
        case ZScoreScaling():
            return transforms.NormalizeIntensityd(_IMAGE, nonzero=step.nonzero)
        case GaussianSmoothing():
            return transforms.GaussianSmoothd(_IMAGE, sigma=step.sigma_vox)
    return transforms.Lambdad(_IMAGE, lambda image: _apply_function(image, step))


def _apply_function(image: torch.Tensor, step: Any) -> torch.Tensor:
    """Returns the values after a step for which MONAI has no transform."""
    match step:
        case SquareRootScaling():
            return image.clip(step.minimum, step.maximum).sqrt()
        case SigmoidScaling():
            return image.sigmoid()
        case TanhScaling():
            return step.factor * (image / step.factor).tanh()
    raise TypeError(f"no transform for {step}")


def _scale_from_minimum(image: torch.Tensor, nonzero: bool) -> torch.Tensor:
    chosen = image != 0 if nonzero else torch.ones_like(image, dtype=torch.bool)
    scaled = (image - image[chosen].min()) / image[chosen].std(correction=0)
    return torch.where(chosen, scaled, image)


def _infer(image: MetaTensor, network: torch.nn.Module, spec: ModelSpec) -> torch.Tensor:
    """Returns the blended logits on the model grid [O, I, J, K]; channels for clicks are 0."""
    window = spec.window
    channels = torch.zeros(spec.input_channels, *image.shape[1:])
    channels[:1] = image.as_tensor()
    inferer = SlidingWindowInferer(
        window.roi,
        sw_batch_size=1,
        overlap=window.overlap,
        mode=window.mode,
        sigma_scale=window.sigma_scale,
        padding_mode=window.padding_mode,
    )
    logits: torch.Tensor = inferer(channels[None], network)[0]
    return logits


def postprocessing_transforms(spec: ModelSpec, preprocessing: Any) -> list[Any]:
    """Returns MONAI's transforms from logits to labels on the grid of the image."""
    is_softmax = spec.activation == "softmax"
    activation = transforms.Activationsd(_LABELS, softmax=is_softmax, sigmoid=not is_softmax)
    decision = transforms.AsDiscreted(_LABELS, argmax=is_softmax, threshold=None if is_softmax else 0.5)
    is_nearest = spec.interpolation == "labels"
    inversion = transforms.Invertd(_LABELS, preprocessing, orig_keys=_IMAGE, nearest_interp=is_nearest)
    rules = transforms.Lambdad(_LABELS, lambda labels: _keep_largest(_overwrite(labels, spec), spec))
    if spec.interpolation == "logits":
        return [inversion, activation, decision, rules]
    if spec.interpolation == "probabilities":
        return [activation, inversion, decision, rules]
    if spec.postprocessing.grid == "model":
        return [activation, decision, rules, inversion]
    return [activation, decision, inversion, rules]


def _overwrite(labels: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """Removes the voxels of each class that belong to a later one, if classes overwrite each other."""
    if not spec.overwrite:
        return labels
    kept, channels = labels.clone(), [class_spec.channel for class_spec in spec.classes]
    for number, channel in enumerate(channels):
        for later in channels[number + 1 :]:
            kept[channel][labels[later] > 0] = 0
    return kept


def _keep_largest(labels: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """Keeps the largest components, as ``KeepLargestConnectedComponentd`` does with scikit-image."""
    rules, kept = spec.postprocessing, labels.clone()
    structure = scipy.ndimage.generate_binary_structure(3, _NEIGHBOURS[rules.connectivity])
    for class_spec in spec.classes:
        if rules.keep != "largest" or rules.keep_rule(class_spec.name) == "all":
            continue
        is_class = labels[0] == class_spec.channel if spec.activation == "softmax" else labels[class_spec.channel] > 0
        components, _ = scipy.ndimage.label(np.asarray(is_class), structure)
        largest = 1 + np.bincount(components.ravel())[1:].argsort()[::-1][: rules.keep_count]
        dropped = torch.from_numpy((components > 0) & ~np.isin(components, largest))
        kept[0 if spec.activation == "softmax" else class_spec.channel][dropped] = 0
    return kept


def main(arguments: Sequence[str]) -> None:
    """Runs the request in the first argument."""
    request = json.loads(arguments[1])
    run(Path(request["source"]), Path(request["images"][0]), Path(request["labels"]), request["modality"])


if __name__ == "__main__":
    main(sys.argv)
