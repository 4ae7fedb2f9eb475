"""MONAI and torch as references for tests, imported without their warnings at import."""

from __future__ import annotations

import warnings

import pytest

from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

load_cuda_runtime()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    from monai.data import MetaTensor
    from monai.data.utils import compute_importance_map, dense_patch_slices
    from monai.inferers import SlidingWindowInferer
    from monai.networks import nets
    from monai.transforms import (
        Compose,
        CopyItemsd,
        CropForeground,
        CropForegroundd,
        Invertd,
        NormalizeIntensity,
        NormalizeIntensityd,
        Orientation,
        Orientationd,
        ScaleIntensityRange,
        ScaleIntensityRanged,
        ScaleIntensityRangePercentiles,
        Spacing,
        Spacingd,
    )

__all__ = [
    "Compose",
    "CopyItemsd",
    "CropForeground",
    "CropForegroundd",
    "Invertd",
    "MetaTensor",
    "NormalizeIntensity",
    "NormalizeIntensityd",
    "Orientation",
    "Orientationd",
    "ScaleIntensityRange",
    "ScaleIntensityRangePercentiles",
    "ScaleIntensityRanged",
    "SlidingWindowInferer",
    "Spacing",
    "Spacingd",
    "compute_importance_map",
    "dense_patch_slices",
    "nets",
    "torch",
]
