"""Series of smooth values in an asymmetric body, oblique, whose spacings have no simple ratio to those of models.

Labels by the nearest voxel are not defined where a voxel is exactly between two others: MONAI decides by rounding
errors. With these spacings, no voxel is.
"""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
from scipy.ndimage import gaussian_filter

from tests.helpers import phantoms

SHAPE = (36, 56, 64)
RANGES = {"CT": (-300.0, 420.0, -1000.0), "MR": (100.0, 900.0, 0.0), "PT": (900.0, 40_000.0, 0.0)}
"""The lowest and the highest value in the body, and the value outside: HU, no unit, Bq/ml."""


def smooth_volume(modality: str, shape: tuple[int, int, int] = SHAPE, seed: int = 11) -> hd.Volume:
    """Returns a volume [K, J, I]: smooth values in a body that lacks a corner, and one value outside."""
    geometry = phantoms.oblique_geometry(shape, pixel_spacing=(1.91, 1.7969), slice_spacing=3.07)
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    level = (noise - noise.min()) / (noise.max() - noise.min())
    low, high, outside = RANGES[modality]
    array = np.full(shape, outside)
    k, j, i = shape
    array[k // 9 : -k // 12, j // 8 : -j // 10, i // 7 : -i // 9] = 1
    array[: k // 2, : j // 2, : i // 3] = outside
    array[array == 1] = (low + (high - low) * level)[array == 1]
    return geometry.with_array(array.astype(np.float32))


def write_smooth_series(folder: Path, modality: str, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Writes a series, and returns its folder."""
    return phantoms.write(folder, smooth_volume(modality, shape), modality)
