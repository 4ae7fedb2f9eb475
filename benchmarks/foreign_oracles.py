"""The pipelines of other tools, with MONAI's transforms as these tools call them, and without code of ClickSeg.

Sources: ``sample-apps/radiology/lib/infers`` and ``monailabel/tasks/infer/basic_infer.py`` of MONAI Label 0.8,
``examples/apps`` of MONAI Deploy App SDK 4, the evaluation of SW-FastEdit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai import transforms as mt
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from clickseg.core.arrays import LabelArray

IMAGE, RESULT = "image", "pred"
Network = Callable[[torch.Tensor], Any]
Points = Sequence[tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is done before and after the network.

    Attributes:
        before: The transforms after the image is loaded.
        inferer: The sliding window.
        after: Returns labels [1, I, J, K] on the grid of the image, from the data and the transforms before.
    """

    before: Sequence[Any]
    inferer: SlidingWindowInferer
    after: Callable[[dict[str, Any], mt.Compose], torch.Tensor]


def run_pipeline(
    image: Path, network: Network, pipeline: Pipeline, guide: Callable[[MetaTensor], torch.Tensor] | None = None
) -> LabelArray:
    """Returns the labels [K, J, I] of an image.

    Args:
        image: The image, as NIfTI.
        network: The network; of several outputs, the first counts.
        pipeline: The pipeline.
        guide: Returns the click channels [G, I, J, K] of the image on the model grid; None for no clicks.
    """
    before = mt.Compose([mt.LoadImaged(IMAGE), mt.EnsureChannelFirstd(IMAGE), *pipeline.before])
    data = before({IMAGE: str(image)})
    channels = data[IMAGE].as_tensor()
    if guide is not None:
        channels = torch.cat([channels, guide(data[IMAGE])])
    with torch.inference_mode():
        logits = pipeline.inferer(channels[None], lambda windows: _first(network(windows)))[0]
    data[RESULT] = MetaTensor(logits, meta=data[IMAGE].meta, applied_operations=data[IMAGE].applied_operations)
    labels: LabelArray = np.asarray(pipeline.after(data, before))[0].transpose(2, 1, 0).round().astype(np.int64)
    return labels


def _first(output: Any) -> torch.Tensor:
    tensor: torch.Tensor = output[0] if isinstance(output, list | tuple) else output
    return tensor


def by_probabilities(data: dict[str, Any], before: mt.Compose) -> torch.Tensor:
    """Returns labels of probabilities that are interpolated linearly."""
    softmax, argmax = mt.Activationsd(RESULT, softmax=True), mt.AsDiscreted(RESULT, argmax=True)
    return _apply(data, softmax, mt.Invertd(RESULT, before, IMAGE, nearest_interp=False), argmax)


def by_labels(data: dict[str, Any], before: mt.Compose) -> torch.Tensor:
    """Returns labels of the nearest voxel."""
    softmax, argmax = mt.Activationsd(RESULT, softmax=True), mt.AsDiscreted(RESULT, argmax=True)
    return _apply(data, softmax, argmax, mt.Invertd(RESULT, before, IMAGE, nearest_interp=True))


def by_logits(data: dict[str, Any], before: mt.Compose) -> torch.Tensor:
    """Returns labels of logits that are interpolated linearly."""
    inversion = mt.Invertd(RESULT, before, IMAGE, nearest_interp=False)
    return _apply(data, inversion, mt.AsDiscreted(RESULT, argmax=True))


def by_monailabel(*transforms: Any) -> Callable[[dict[str, Any], mt.Compose], torch.Tensor]:
    """Returns the inversion of MONAI Label, which comes before all other transforms of the result."""

    def after(data: dict[str, Any], before: mt.Compose) -> torch.Tensor:
        inverted = {**data, IMAGE: data[RESULT]}
        for transform in reversed(before.transforms):
            if hasattr(transform, "inverse"):
                inverted = transform.inverse(inverted)
        softmax, argmax = mt.Activationsd(RESULT, softmax=True), mt.AsDiscreted(RESULT, argmax=True)
        return _apply({**data, RESULT: inverted[IMAGE]}, softmax, argmax, *transforms)

    return after


def _apply(data: dict[str, Any], *transforms: Any) -> torch.Tensor:
    result: torch.Tensor = mt.Compose(transforms)(data)[RESULT]
    return result


def _turn() -> Any:
    return mt.Orientationd(IMAGE, axcodes="RAS")


def _range(low: float, high: float) -> Any:
    return mt.ScaleIntensityRanged(IMAGE, a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True)


def monailabel_segmentation() -> Pipeline:
    """Returns the pipeline of MONAI Label's ``segmentation``."""
    steps = [mt.NormalizeIntensityd(IMAGE, nonzero=True), mt.GaussianSmoothd(IMAGE, sigma=0.4)]
    scaling = [*steps, mt.ScaleIntensityd(IMAGE, minv=-1.0, maxv=1.0)]
    inferer = SlidingWindowInferer(
        (96, 96, 96), sw_batch_size=2, overlap=0.4, padding_mode="replicate", mode="gaussian"
    )
    return Pipeline([_turn(), mt.Spacingd(IMAGE, pixdim=(1.5, 1.5, 1.5)), *scaling], inferer, by_monailabel())


def monailabel_spleen() -> Pipeline:
    """Returns the pipeline of MONAI Label's ``segmentation_spleen``."""
    scaling = [_range(-57, 164), mt.ScaleIntensityd(IMAGE, minv=-1.0, maxv=1.0)]
    before = [_turn(), mt.Spacingd(IMAGE, pixdim=(1.0, 1.0, 1.0)), *scaling]
    inferer = SlidingWindowInferer((160, 160, 160), sw_batch_size=1, overlap=0.25)
    return Pipeline(before, inferer, by_monailabel(mt.KeepLargestConnectedComponentd(RESULT)))


def deploy_spleen() -> Pipeline:
    """Returns the pipeline of ``ai_remote_infer_app``."""
    before = [_turn(), mt.Spacingd(IMAGE, pixdim=[1.5, 1.5, 2.9], mode=["bilinear"]), _range(-57, 164)]
    return Pipeline(before, SlidingWindowInferer((96, 96, 96), 4, overlap=0.6), by_probabilities)


def deploy_livertumor() -> Pipeline:
    """Returns the pipeline of ``ai_livertumor_seg_app``."""
    spacing = mt.Spacingd(IMAGE, pixdim=(1.0, 1.0, 1.0), mode="bilinear", align_corners=True)
    before = [spacing, _range(-21, 189), mt.CropForegroundd(IMAGE, source_key=IMAGE)]
    return Pipeline(before, SlidingWindowInferer((160, 160, 160), 4, overlap=0.6), by_labels)


def sw_fastedit() -> Pipeline:
    """Returns the pipeline of SW-FastEdit's evaluation."""
    scaling = mt.ScaleIntensityRangePercentilesd(IMAGE, 0.05, 99.95, 0.0, 1.0, clip=True)
    before = [_turn(), mt.Spacingd(IMAGE, pixdim=(2.03642011, 2.03642011, 3.0)), scaling]
    return Pipeline(before, SlidingWindowInferer((128, 128, 128), 1, overlap=0.25, mode="gaussian"), by_logits)


def draw_balls(image: MetaTensor, channels: Sequence[Points], radius: int = 2) -> torch.Tensor:
    """Returns click channels [G, I, J, K]: balls around points in RAS mm, for each channel."""
    drawn = torch.zeros(len(channels), *image.shape[1:])
    grid = torch.stack(torch.meshgrid(*(torch.arange(size) for size in image.shape[1:]), indexing="ij"))
    to_voxels = torch.linalg.inv(image.affine)
    for channel, points in zip(drawn, channels, strict=True):
        for point in points:
            centre = torch.floor((to_voxels @ torch.tensor([*point, 1.0], dtype=to_voxels.dtype))[:3] + 0.5)
            channel[(grid - centre[:, None, None, None]).square().sum(0) <= radius**2] = 1
    return drawn


def simple_pipeline() -> Pipeline:
    """Returns the pipeline of the TorchScript programs of this benchmark."""
    before = [_turn(), mt.Spacingd(IMAGE, pixdim=(3.1, 3.1, 4.3)), _range(-57, 164)]
    return Pipeline(before, SlidingWindowInferer((24, 24, 16), 1, overlap=0.5), by_probabilities)


def embedded_pipeline() -> Pipeline:
    """Returns the pipeline of the configuration that ``write_program_with_metadata`` embeds."""
    before = [_turn(), mt.Spacingd(IMAGE, pixdim=(1.5, 1.5, 2.0)), _range(-57, 164)]
    return Pipeline(before, SlidingWindowInferer((48, 48, 32), 1, overlap=0.5), by_probabilities)


def run_module(module: str, *arguments: str) -> None:
    """Runs a module of Python in a process of its own.

    Raises:
        RuntimeError: It fails.
    """
    ended = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{module}: {ended.stderr.strip().splitlines()[-1]}")


def run_auto3dseg(script: Path, model: Path, images: Sequence[Path], result: Path) -> None:
    """Runs the script of the extension MONAIAuto3DSeg, on the CPU.

    Args:
        script: ``auto3dseg_segresnet_inference.py`` of the extension.
        model: ``model.pt``, extracted.
        images: The images, as NRRD.
        result: The file that is written.

    Raises:
        RuntimeError: The script fails.
    """
    options = ("--image_file", "--image_file_2", "--image_file_3", "--image_file_4")
    files = [word for pair in zip(options, images, strict=False) for word in pair]
    command = [sys.executable, script, "--model_file", model, *files, "--result_file", result]
    ended = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"{script}: {ended.stderr.strip().splitlines()[-1]}")
