"""Samples: patches of cases with their surroundings, or synthetic volumes, changed at random (MONAI transforms).

Each is drawn from its own number alone, so that a run that is resumed, or has more worker processes, sees the same
samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, radians
from typing import TypedDict

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
)
from torch.utils.data import Dataset

from clickseg.core.arrays import Indices, Numbers, Triple, Values
from clickseg.training.cases import GridCase
from clickseg.training.config import Augmentation, Training
from clickseg.training.synthetic import Look, as_scaled, blob, looks_of, painted, ranges, scene

IMAGE, TRUTH, OBJECTS = "image", "truth", "objects"

_MARGIN = 0.15
"""How much more is cut on each side of a patch, as a part of it, so that few voxels lack a value when it is turned."""

MOST_PLACES = 1 << 16
"""How many voxels of a case patches are put around."""


class Item(TypedDict):
    """A sample as tensors.

    ``image`` [C, I, J, K]; ``truth`` [1, I, J, K]; ``objects`` [1, I, J, K]: the numbers of things that are an error
    only after a click into them; ``must_click``: whether only clicks say what is meant.
    """

    image: torch.Tensor
    truth: torch.Tensor
    objects: torch.Tensor
    must_click: bool


class Batch(TypedDict):
    """Samples together: each tensor of an ``Item`` with an axis for them before the others."""

    image: torch.Tensor
    truth: torch.Tensor
    objects: torch.Tensor
    must_click: torch.Tensor


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of a volume.

    Attributes:
        image: Its image channels [C, I, J, K].
        truth: Its classes [I, J, K].
        objects: Things that are an error only after a click into them [I, J, K].
    """

    image: Values
    truth: Numbers
    objects: Numbers


class Samples(Dataset[Item]):
    """The samples of a run, by their number."""

    def __init__(self, cases: Sequence[GridCase], how: Training, *, count: int) -> None:
        """Takes the cases.

        Args:
            cases: May be none where all samples are synthetic.
            how: The run.
            count: How many samples there are.
        """
        self._cases, self._how, self._count = cases, how, count
        self._change = augmentation(how.augmentation, how.patch)
        self._foreground = [places(case.truth) for case in cases]
        self._needs_clicks = how.model.guidance is not None and how.model.guidance.required

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Item:
        rng = np.random.default_rng([self._how.seed, number])
        is_synthetic = not self._cases or rng.random() < self._how.synthesis.share
        patch, must_click = self._synthetic(rng) if is_synthetic else (self._of_a_case(rng), self._needs_clicks)
        self._change.set_random_state(int(rng.integers(1 << 31)))
        changed = self._change(
            {
                IMAGE: torch.from_numpy(patch.image),
                TRUTH: torch.from_numpy(patch.truth[np.newaxis]),
                OBJECTS: torch.from_numpy(patch.objects[np.newaxis]),
            }
        )
        image, truth, objects = (changed[key].as_tensor() for key in (IMAGE, TRUTH, OBJECTS))
        return Item(image=image, truth=truth, objects=objects, must_click=must_click)

    def _synthetic(self, rng: np.random.Generator) -> tuple[Patch, bool]:
        """Returns a volume with objects in it, and whether only clicks say which of them are meant."""
        how = self._how.synthesis
        looks = self._looks(rng)
        must_click = self._needs_clicks or looks[0] != "uptake" or rng.random() >= how.automatic
        made = scene(self._how.patch, looks, int(rng.integers(1, 6)), rng)
        kinds = self._kinds(np.unique(made.objects[made.objects > 0]), must_click, rng)
        image = as_scaled(made.images, self._how.model)
        return Patch(image, kinds[made.objects], np.zeros_like(made.objects)), must_click

    def _looks(self, rng: np.random.Generator) -> tuple[Look, ...]:
        """Returns what each input looks like: a single one is any of those that the run is told."""
        several, told = looks_of(self._how.model), self._how.synthesis.looks
        return several if len(several) > 1 else (told[rng.integers(len(told))],)

    def _kinds(self, present: Numbers, must_click: bool, rng: np.random.Generator) -> Numbers:
        """Returns the class of each object, by its number; 0 for those that are not meant."""
        kinds, classes = np.zeros(256, np.uint8), len(self._how.model.classes)
        if not must_click:
            kinds[present] = 1
            return kinds
        kinds[present] = rng.integers(0, classes + 1, len(present))
        if len(present) and not kinds.any():
            kinds[rng.choice(present)] = rng.integers(1, classes + 1)
        return kinds

    def _of_a_case(self, rng: np.random.Generator) -> Patch:
        number = int(rng.integers(len(self._cases)))
        case, how = self._cases[number], self._how
        size = _larger(how.patch)
        patch = _cut(case, self._start(number, size, rng), size, how, rng)
        return _with_distractor(patch, case, how, rng) if rng.random() < how.synthesis.distractors else patch

    def _start(self, number: int, size: Triple, rng: np.random.Generator) -> Indices:
        """Returns where a patch begins: around a voxel of what is to be found, or anywhere."""
        shape = np.array(self._cases[number].truth.shape)
        foreground = self._foreground[number]
        if len(foreground) and rng.random() < self._how.positive:
            voxel = np.array(np.unravel_index(rng.choice(foreground), tuple(shape)))
        else:
            voxel = rng.integers(shape)
        start: Indices = voxel - rng.integers(np.array(size) // 4, 3 * np.array(size) // 4 + 1)
        return start


def places(truth: Numbers) -> Indices:
    """Returns voxels of what is to be found, spread over all of them: as many as memory for many cases allows."""
    voxels = np.flatnonzero(truth)
    return voxels[:: 1 + len(voxels) // MOST_PLACES].copy()


def _cut(case: GridCase, start: Indices, size: Triple, how: Training, rng: np.random.Generator) -> Patch:
    """Returns a part of a case; beyond its border nothing, or a synthetic volume."""
    first, stop = np.maximum(start, 0), np.minimum(start + size, case.truth.shape)
    source = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    target = tuple(slice(a, b) for a, b in zip(first - start, stop - start, strict=True))
    patch = Patch(np.zeros((len(case.images), *size), np.float32), np.zeros(size, np.uint8), np.zeros(size, np.uint8))
    if (stop - first < size).any() and rng.random() < how.synthesis.surroundings:
        spec = how.model.for_modality(case.modality)
        around = scene(size, looks_of(spec), int(rng.integers(0, 5)), rng)
        patch = replace(patch, image=as_scaled(around.images, spec), objects=around.objects)
    patch.image[(slice(None), *target)] = case.images[(slice(None), *source)]
    patch.truth[target], patch.objects[target] = case.truth[source], 0
    return patch


def _with_distractor(patch: Patch, case: GridCase, how: Training, rng: np.random.Generator) -> Patch:
    """Returns a patch with one more object in it, beside what is to be found."""
    mask = blob(patch.truth.shape, rng) & (patch.truth == 0)
    spec = how.model.for_modality(case.modality)
    drawn = [
        low + (top - low) * painted((each - low) / (top - low), mask, look, rng)
        for each, (low, top), look in zip(patch.image, ranges(spec), looks_of(spec), strict=True)
    ]
    objects = patch.objects.copy()
    objects[mask] = 255
    keep = patch.truth > 0  # the softened border of the object leaves it as it is
    image = np.where(keep, patch.image, np.stack(drawn)).astype(np.float32)
    return replace(patch, image=image, objects=objects)


def _larger(patch: Triple) -> Triple:
    i, j, k = (count + 2 * ceil(count * _MARGIN) for count in patch)  # as much on both sides: its middle is on a voxel
    return i, j, k


def augmentation(how: Augmentation, patch: Triple) -> Compose:
    """Returns what changes a sample, and cuts a patch of its middle.

    Args:
        how: What is changed, and how often.
        patch: The size of the patch.
    """
    keys, axes = (IMAGE, TRUTH, OBJECTS), range(3)
    return Compose(
        [
            RandAffined(
                keys,
                spatial_size=patch,
                prob=how.affine_share,
                rotate_range=[radians(how.rotation_degrees)] * 3,
                scale_range=[how.scaling] * 3,
                mode=("bilinear", "nearest", "nearest"),
                padding_mode="zeros",
            ),
            *(RandFlipd(keys, prob=how.flip_share, spatial_axis=axis) for axis in axes),
            RandSimulateLowResolutiond(IMAGE, prob=how.low_resolution_share, zoom_range=(0.5, 1.0)),
            RandGaussianSmoothd(IMAGE, prob=how.blur_share, sigma_x=(0.2, 0.8), sigma_y=(0.2, 0.8), sigma_z=(0.2, 0.8)),
            RandAdjustContrastd(IMAGE, prob=how.contrast_share, gamma=how.contrast),
            RandScaleIntensityd(IMAGE, prob=how.intensity_share, factors=how.intensity),
            RandGaussianNoised(IMAGE, prob=how.noise_share, std=how.noise),
        ]
    )
