"""Volumes of random shapes and contrasts, in which clicks can define the foreground (after SynthSeg, Billot et al.).

Tissues are regions of smooth random fields; objects are deformed ellipsoids. All lengths are in voxels.
``scale_to_model`` scales intensities to the range of the model's inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from clickseg.core.arrays import Float32Array, LabelArray, Mask, Triple
from clickseg.models.spec import (
    GaussianSmoothing,
    ModelSpec,
    PercentileScaling,
    RangeScaling,
    Scaling,
    SigmoidScaling,
    SquareRootScaling,
    TanhScaling,
)

Appearance = Literal["uptake", "contrast"]

_ZSCORE_RANGE = (-1.0, 3.0)
"""The intensities of most images after z-score scaling, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A synthetic volume with objects.

    Attributes:
        images: One image for each appearance [C, I, J, K], with intensities from 0 to about 1.
        objects: The number of the object of each voxel [I, J, K], from 1; 0 outside objects.
    """

    images: Float32Array
    objects: LabelArray


def make_scene(shape: Triple, appearances: Sequence[Appearance], count: int, rng: np.random.Generator) -> Scene:
    """Creates a random volume.

    Args:
        shape: The size of the volume.
        appearances: The appearance of each image. ``uptake``: dark, with bright objects; ``contrast``: arbitrary
            contrasts.
        count: The number of objects; later objects cover earlier ones.
        rng: The random number generator.
    """
    images = [_make_tissues(shape, appearance, rng) for appearance in appearances]
    objects = np.zeros(shape, np.uint8)
    for number in range(1, count + 1):
        mask = make_blob(shape, rng)
        objects[mask] = number
        images = [
            paint_object(image, mask, appearance, rng) for image, appearance in zip(images, appearances, strict=True)
        ]
    return Scene(np.stack([_simulate_acquisition(image, rng) for image in images]), objects)


def paint_object(image: Float32Array, mask: Mask, appearance: Appearance, rng: np.random.Generator) -> Float32Array:
    """Returns an image with an additional object: homogeneous, heterogeneous, or with a core of another intensity."""
    value = _object_intensity(appearance, image[mask], rng)
    values = value * (1 + rng.uniform(0, 0.3) * make_field(mask.shape, rng))
    if rng.random() < 0.3:
        core = (make_field(mask.shape, rng) > rng.uniform(0.3, 1)) & mask
        values[core] = value * rng.uniform(0.2, 0.9)
    softened = gaussian_filter(mask.astype(np.float32), rng.uniform(0.2, 1.0))
    painted_image: Float32Array = (image + softened * (values - image)).astype(np.float32)
    return painted_image


def make_blob(shape: Triple, rng: np.random.Generator) -> Mask:
    """Creates a random object: an ellipsoid of random pose, with a border deformed by a smooth field.

    Sizes are log-uniform: as many objects are 2 to 4 voxels wide (such as nodes) as 8 to 16 voxels (such as organs).
    """
    size = np.exp(rng.uniform(np.log(2.0), np.log(min(shape) / 2.5)))
    radii = size * rng.uniform(0.6, 1.5, 3)
    centre = rng.uniform(0.15, 0.85, 3) * shape
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    rotated = [
        sum((axis - c) * np.float32(r) for axis, c, r in zip(axes, centre, row, strict=True)) / np.float32(radius)
        for row, radius in zip(rotation, radii, strict=True)
    ]
    inside: Mask = sum(axis * axis for axis in rotated) < 1 + rng.uniform(0, 1.0) * make_field(shape, rng)
    return inside


def make_field(shape: Triple | tuple[int, ...], rng: np.random.Generator) -> Float32Array:
    """Creates a smooth random field of zero mean and unit variance, interpolated from cells of 6 to 24 voxels."""
    cells = [max(2, round(count / rng.uniform(6, 24))) for count in shape]
    coarse = torch.from_numpy(rng.normal(size=(1, 1, *cells)).astype(np.float32))
    smooth: Float32Array = torch.nn.functional.interpolate(coarse, shape, mode="trilinear")[0, 0].numpy()
    standardized: Float32Array = (smooth - smooth.mean()) / (smooth.std() + np.float32(1e-6))
    return standardized


def _make_tissues(shape: Triple, appearance: Appearance, rng: np.random.Generator) -> Float32Array:
    highest = 0.25 if appearance == "uptake" else 1.0
    values = rng.uniform(0, highest, rng.integers(2, 7)).astype(np.float32)
    regions = np.argmax(np.stack([make_field(shape, rng) for _ in values]), axis=0)
    image: Float32Array = values[regions] * (1 + rng.uniform(0, 0.2) * make_field(shape, rng))
    if rng.random() < 0.4:
        image[make_field(shape, rng) > rng.uniform(0.5, 1.5)] = 0  # air
    softened: Float32Array = gaussian_filter(image, rng.uniform(0.3, 1.2))
    return softened


def _object_intensity(appearance: Appearance, covered: Float32Array, rng: np.random.Generator) -> float:
    """Returns the intensity of an object: bright for ``uptake``, otherwise any that differs from the covered voxels."""
    if appearance == "uptake":
        return float(rng.uniform(0.2, 0.9))
    before = float(covered.mean()) if covered.size else 0.5
    return before + float(rng.choice([-1, 1]) * rng.uniform(0.06, 0.6))


def _simulate_acquisition(image: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Adds the blur and the noise of a scanner to an image."""
    blurred = gaussian_filter(image, rng.uniform(0.2, 0.9))
    noise = (rng.normal(size=image.shape) * rng.uniform(0, 0.06)).astype(np.float32)
    acquired: Float32Array = np.maximum(blurred + noise, np.float32(0))
    return acquired


def scale_to_model(images: Float32Array, spec: ModelSpec) -> Float32Array:
    """Scales images of intensities from 0 to 1 to the ranges of the model's inputs.

    Args:
        images: One image for each input [C, I, J, K].
        spec: The model, for one modality.
    """
    limits = zip(images, scaled_ranges(spec), strict=True)
    return np.stack([image * np.float32(high - low) + np.float32(low) for image, (low, high) in limits])


def input_appearances(spec: ModelSpec) -> tuple[Appearance, ...]:
    """Returns the appearance of each input of a model, from its modality."""
    return tuple("uptake" if image.modality == "PT" else "contrast" for image in spec.inputs)


def scaled_ranges(spec: ModelSpec) -> list[tuple[float, float]]:
    """Returns the smallest and the largest scaled intensity of each input of a model."""
    return [_scaled_range(image.scaling_steps) for image in spec.inputs]


def _scaled_range(steps: Sequence[Scaling]) -> tuple[float, float]:
    """Returns the range after the last step that changes it."""
    match steps[-1]:
        case SquareRootScaling(minimum=low, maximum=high):
            return sqrt(low), sqrt(high)
        case RangeScaling(b_min=low, b_max=high) | PercentileScaling(b_min=low, b_max=high):
            return low, high
        case SigmoidScaling():
            return 0.0, 1.0
        case TanhScaling(factor=factor):
            return -factor, factor
        case GaussianSmoothing() if len(steps) > 1:
            return _scaled_range(steps[:-1])
        case _:
            return _ZSCORE_RANGE
