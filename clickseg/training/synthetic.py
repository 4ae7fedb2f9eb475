"""Volumes of random shapes and contrasts, in which clicks can say what is meant (after SynthSeg, Billot et al.).

Tissues are regions of smooth random fields; objects are deformed ellipsoids. All lengths are in voxels. Values are
scaled as those of images are for a model (``as_scaled``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from clickseg.core.arrays import Mask, Numbers, Triple, Values
from clickseg.models.spec import ModelSpec, PercentileScaling, RangeScaling, Scaling, SquareRootScaling

Look = Literal["uptake", "contrast"]

_OF_ZSCORES = (-1.0, 3.0)
"""From the darkest to the brightest of most images, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A volume and the objects in it.

    Attributes:
        images: Its values as each of several scanners shows them [C, I, J, K], from 0 to about 1.
        objects: The number of the object of each voxel, from 1; 0 where there is none.
    """

    images: Values
    objects: Numbers


def scene(shape: Triple, looks: Sequence[Look], count: int, rng: np.random.Generator) -> Scene:
    """Returns a random volume.

    Args:
        shape: Its size.
        looks: What each of its images looks like. ``uptake``: dark, with bright objects; ``contrast``: anything.
        count: How many objects are put into it; later ones cover earlier ones.
        rng: Draws everything.
    """
    images, objects = [_tissues(shape, look, rng) for look in looks], np.zeros(shape, np.uint8)
    for number in range(1, count + 1):
        mask = blob(shape, rng)
        objects[mask] = number
        images = [painted(image, mask, look, rng) for image, look in zip(images, looks, strict=True)]
    return Scene(np.stack([_acquired(image, rng) for image in images]), objects)


def painted(image: Values, mask: Mask, look: Look, rng: np.random.Generator) -> Values:
    """Returns an image with an object in it: of one value, uneven, or with a core of another value."""
    value = _object_value(look, image[mask], rng)
    values = value * (1 + rng.uniform(0, 0.3) * field(mask.shape, rng))
    if rng.random() < 0.3:
        core = (field(mask.shape, rng) > rng.uniform(0.3, 1)) & mask
        values[core] = value * rng.uniform(0.2, 0.9)
    softened = gaussian_filter(mask.astype(np.float32), rng.uniform(0.2, 1.0))
    painted_image: Values = (image + softened * (values - image)).astype(np.float32)
    return painted_image


def blob(shape: Triple, rng: np.random.Generator) -> Mask:
    """Returns a random object: an ellipsoid in any position, its border moved by a smooth field.

    As many are between 2 and 4 voxels wide as are between 8 and 16: nodes are, and organs too.
    """
    size = np.exp(rng.uniform(np.log(2.0), np.log(min(shape) / 2.5)))
    radii = size * rng.uniform(0.6, 1.5, 3)
    centre = rng.uniform(0.15, 0.85, 3) * shape
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    turned = [
        sum((axis - c) * np.float32(r) for axis, c, r in zip(axes, centre, row, strict=True)) / np.float32(radius)
        for row, radius in zip(rotation, radii, strict=True)
    ]
    inside: Mask = sum(each * each for each in turned) < 1 + rng.uniform(0, 1.0) * field(shape, rng)
    return inside


def field(shape: Triple | tuple[int, ...], rng: np.random.Generator) -> Values:
    """Returns a smooth random field of zero mean and unit variance; its waves are a part of the volume long."""
    cells = [max(2, round(count / rng.uniform(6, 24))) for count in shape]
    coarse = torch.from_numpy(rng.normal(size=(1, 1, *cells)).astype(np.float32))
    smooth: Values = torch.nn.functional.interpolate(coarse, shape, mode="trilinear")[0, 0].numpy()
    standard: Values = (smooth - smooth.mean()) / (smooth.std() + np.float32(1e-6))
    return standard


def _tissues(shape: Triple, look: Look, rng: np.random.Generator) -> Values:
    highest = 0.25 if look == "uptake" else 1.0
    values = rng.uniform(0, highest, rng.integers(2, 7)).astype(np.float32)
    regions = np.argmax(np.stack([field(shape, rng) for _ in values]), axis=0)
    image: Values = values[regions] * (1 + rng.uniform(0, 0.2) * field(shape, rng))
    if rng.random() < 0.4:
        image[field(shape, rng) > rng.uniform(0.5, 1.5)] = 0  # air
    softened: Values = gaussian_filter(image, rng.uniform(0.3, 1.2))
    return softened


def _object_value(look: Look, around: Values, rng: np.random.Generator) -> float:
    """Returns what an object is: bright among uptake, else anything that differs from what was there."""
    if look == "uptake":
        return float(rng.uniform(0.2, 0.9))
    before = float(around.mean()) if around.size else 0.5
    return before + float(rng.choice([-1, 1]) * rng.uniform(0.06, 0.6))


def _acquired(image: Values, rng: np.random.Generator) -> Values:
    """Returns an image as a scanner shows it: blurred, and with noise."""
    blurred = gaussian_filter(image, rng.uniform(0.2, 0.9))
    noise = (rng.normal(size=image.shape) * rng.uniform(0, 0.06)).astype(np.float32)
    acquired: Values = np.maximum(blurred + noise, np.float32(0))
    return acquired


def as_scaled(images: Values, spec: ModelSpec) -> Values:
    """Returns images with values from 0 to 1, one for each of a model's inputs [C, I, J, K], as these are scaled.

    Args:
        images: The images [C, I, J, K].
        spec: The model, for one modality.
    """
    limits = zip(images, ranges(spec), strict=True)
    return np.stack([image * np.float32(top - low) + np.float32(low) for image, (low, top) in limits])


def looks_of(spec: ModelSpec) -> tuple[Look, ...]:
    """Returns what each input of a model looks like, by its modality."""
    return tuple("uptake" if each.modality == "PT" else "contrast" for each in spec.inputs)


def ranges(spec: ModelSpec) -> list[tuple[float, float]]:
    """Returns from where to where the scaled values of each input of a model go."""
    return [_range(each.scaling) for each in spec.inputs]


def _range(scaling: Scaling) -> tuple[float, float]:
    match scaling:
        case SquareRootScaling(minimum=low, maximum=top):
            return sqrt(low), sqrt(top)
        case RangeScaling(b_min=low, b_max=top) | PercentileScaling(b_min=low, b_max=top):
            return low, top
        case _:
            return _OF_ZSCORES
