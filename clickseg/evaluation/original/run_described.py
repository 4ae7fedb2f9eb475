"""Runs a model package by MONAI's transforms and sliding window on one NIfTI file, on the CPU.

    python -m clickseg.evaluation.original.run_described REQUEST

It does as the package describes, without clicks, and shares only the network with ClickSeg.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai import transforms
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from clickseg.inference.engines.main_output import MainOutput
from clickseg.inference.engines.torch_engine import load_module
from clickseg.models.package import load_package
from clickseg.models.spec import (
    GaussianSmoothing,
    GridSpec,
    ImageSpec,
    ModelSpec,
    PercentileScaling,
    RangeScaling,
    SigmoidScaling,
    SquareRootScaling,
    TanhScaling,
    ZScoreScaling,
)

_IMAGE, _LABELS = "image", "pred"


def run(source: Path, image: Path, labels: Path) -> None:
    """Runs a model, and writes the class numbers as NIfTI on the grid of the image."""
    import SimpleITK

    package = load_package(source)
    preprocessing = transforms.Compose(preprocessing_transforms(package.spec))
    data = preprocessing({_IMAGE: str(image)})
    network = MainOutput(load_module(package)).eval()
    with torch.inference_mode():
        logits = _infer(data[_IMAGE], network, package.spec)
    data[_LABELS] = MetaTensor(logits, meta=data[_IMAGE].meta, applied_operations=data[_IMAGE].applied_operations)
    channels = transforms.Compose(postprocessing_transforms(package.spec, preprocessing))(data)[_LABELS]
    written = SimpleITK.GetImageFromArray(np.asarray(channels)[0].transpose().astype(np.int16))
    written.CopyInformation(SimpleITK.ReadImage(str(image)))
    SimpleITK.WriteImage(written, str(labels))


def preprocessing_transforms(spec: ModelSpec) -> list[Any]:
    """Returns MONAI's transforms from the file to the model grid."""
    image_spec = spec.inputs[0]
    scaling = _scaling_transforms(image_spec)
    resampling = _grid_transforms(spec.grid)
    steps = [*scaling, *resampling] if image_spec.scale_before_resampling else [*resampling, *scaling]
    return [transforms.LoadImaged(_IMAGE), transforms.EnsureChannelFirstd(_IMAGE), *steps]


def _grid_transforms(grid: GridSpec) -> list[Any]:
    steps: list[Any] = []
    if grid.orientation != "source":
        steps.append(transforms.Orientationd(_IMAGE, axcodes=grid.orientation))
    spacing = [-1.0 if length == "source" else float(length) for length in grid.spacing_mm]
    if any(length > 0 for length in spacing):
        low, high = grid.spacing_tolerance or (None, None)
        steps.append(
            transforms.Spacingd(
                _IMAGE,
                pixdim=spacing,
                mode="bilinear",
                min_pixdim=None if low is None else [length * low for length in spacing],
                max_pixdim=None if high is None else [length * high for length in spacing],
            )
        )
    return steps


def _scaling_transforms(image: ImageSpec) -> list[Any]:
    return [_scaling_transform(step) for step in image.scaling_steps]


def _scaling_transform(step: Any) -> Any:
    match step:
        case RangeScaling():
            return transforms.ScaleIntensityRanged(_IMAGE, step.a_min, step.a_max, step.b_min, step.b_max, step.clip)
        case PercentileScaling():
            return transforms.ScaleIntensityRangePercentilesd(
                _IMAGE, step.lower, step.upper, step.b_min, step.b_max, step.clip
            )
        case ZScoreScaling():
            return transforms.NormalizeIntensityd(_IMAGE, nonzero=step.nonzero)
        case SquareRootScaling():
            return transforms.Lambdad(_IMAGE, lambda image: image.clip(step.minimum, step.maximum).sqrt())
        case SigmoidScaling():
            return transforms.Lambdad(_IMAGE, lambda image: image.sigmoid())
        case TanhScaling():
            return transforms.Lambdad(_IMAGE, lambda image: step.factor * (image / step.factor).tanh())
        case GaussianSmoothing():
            return transforms.GaussianSmoothd(_IMAGE, sigma=step.sigma_vox)
    raise TypeError(f"no transform of MONAI for {step}")


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
    """Returns MONAI's transforms from logits to class numbers on the grid of the image."""
    softmax, decision = transforms.Activationsd(_LABELS, softmax=True), transforms.AsDiscreted(_LABELS, argmax=True)
    is_nearest = spec.interpolation == "labels"
    inversion = transforms.Invertd(_LABELS, preprocessing, orig_keys=_IMAGE, nearest_interp=is_nearest)
    numbers = transforms.Lambdad(_LABELS, lambda channels: _class_numbers(channels, spec))
    if spec.interpolation == "logits":
        return [inversion, decision, numbers]
    if spec.interpolation == "probabilities":
        return [softmax, inversion, decision, numbers]
    return [decision, inversion, numbers]


def _class_numbers(channels: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    table = torch.zeros(spec.output_channels, dtype=torch.int64)
    for number, class_spec in enumerate(spec.classes, 1):
        table[class_spec.channel] = number
    return table[channels.round().long()]


def main(arguments: Sequence[str]) -> None:
    """Runs the request in the first argument."""
    request = json.loads(arguments[1])
    run(Path(request["source"]), Path(request["image"]), Path(request["labels"]))


if __name__ == "__main__":
    main(sys.argv)
