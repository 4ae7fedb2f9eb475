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
        NormalizeIntensity,
        Orientation,
        ScaleIntensityRange,
        ScaleIntensityRangePercentiles,
        Spacing,
    )

__all__ = [
    "MetaTensor",
    "NormalizeIntensity",
    "Orientation",
    "ScaleIntensityRange",
    "ScaleIntensityRangePercentiles",
    "SlidingWindowInferer",
    "Spacing",
    "compute_importance_map",
    "dense_patch_slices",
    "nets",
    "torch",
]
