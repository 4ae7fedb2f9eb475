"""A whole job with MONAI: transforms, sliding window, and labels on the source grid, as MONAI's bundles do it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.transforms import Orientation, ScaleIntensityRange, Spacing

from clickseg.core.arrays import Float32Array, FloatArray, LabelArray, Triple
from scripts.gpu.inference_cases import CT_MODEL_MM, CT_OVERLAP, CT_RANGE

_SOURCE_ORIENTATION = "LPI"
"""The orientation of the series of ``inference_cases`` [I, J, K]: the axis K of ``highdicom`` points to the feet."""


@dataclass(frozen=True, slots=True)
class MonaiJob:
    """The settings of a job.

    Attributes:
        network: The network, on the device.
        window: The size of a window.
        device: The device of the network.
        transforms_device: The device of transforms and logits.
        uses_amp: Whether the network runs in f16 with autocast.
        allows_tf32: Whether convolutions in f32 may be computed in TF32; the network has no other products of matrices.
    """

    network: torch.nn.Module
    window: Triple
    device: str
    transforms_device: str
    uses_amp: bool = False
    allows_tf32: bool = False

    def run(self, values: Float32Array, affine: FloatArray) -> LabelArray:
        """Returns the label map [I, J, K] of an image.

        Args:
            values: The image [I, J, K].
            affine: The affine matrix of the image in RAS mm.
        """
        image = MetaTensor(
            torch.from_numpy(np.ascontiguousarray(values))[None].to(self.transforms_device),
            affine=torch.from_numpy(affine),
        )
        oriented = Orientation("RAS", labels=None)(image)
        spaced = Spacing(pixdim=(CT_MODEL_MM,) * 3, mode="bilinear")(oriented)
        scaled = ScaleIntensityRange(**CT_RANGE, clip=True)(spaced)
        inferer = SlidingWindowInferer(
            self.window,
            sw_batch_size=4,
            overlap=CT_OVERLAP,
            mode="gaussian",
            sw_device=self.device,
            device=self.transforms_device,
        )
        with (
            torch.inference_mode(),
            torch.autocast(self.device, dtype=torch.float16, enabled=self.uses_amp),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=self.allows_tf32),
        ):
            logits = inferer(scaled.as_tensor()[None], self.network)[0].float()
            labels = _resample_labels(logits, scaled, oriented)
        restored = Orientation(axcodes=_SOURCE_ORIENTATION, labels=None)(
            MetaTensor(labels[None].float(), affine=oriented.affine)
        )
        result: LabelArray = restored[0].as_tensor().cpu().numpy().astype(np.uint8)
        return result


def _resample_labels(logits: torch.Tensor, scaled: MetaTensor, oriented: MetaTensor) -> torch.Tensor:
    """Returns the class of the highest logit at each voxel of the oriented image, resampled class by class."""
    best = torch.full(oriented.shape[1:], -torch.inf, device=logits.device)
    labels = torch.zeros(oriented.shape[1:], dtype=torch.uint8, device=logits.device)
    resample = Spacing(pixdim=[float(spacing) for spacing in oriented.pixdim], mode="bilinear")
    for number, channel in enumerate(logits):
        values = resample(MetaTensor(channel[None], affine=scaled.affine), output_spatial_shape=oriented.shape[1:])[
            0
        ].as_tensor()
        higher = values > best
        best[higher] = values[higher]
        labels[higher] = number
    return labels
