"""Training samples: patches of cases, or synthetic volumes, with random augmentation (MONAI transforms).

A sample depends only on the seed and its number. A resumed run, or a run with more worker processes, therefore sees the
same samples.
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

from clickseg.core.arrays import Float32Array, IndexArray, LabelArray, Triple
from clickseg.training.cases import GridCase
from clickseg.training.config import AugmentationConfig, TrainingConfig
from clickseg.training.synthetic import (
    Appearance,
    input_appearances,
    make_blob,
    make_scene,
    paint_object,
    scale_to_model,
    scaled_ranges,
)

IMAGE, TRUTH, DISTRACTORS = "image", "truth", "distractors"

_MARGIN = 0.15
"""The margin that is cropped on each side of a patch, as a fraction of its size, so that rotation leaves few gaps."""

MAX_FOREGROUND_INDICES = 1 << 16
"""The largest number of foreground voxels of a case that are stored to position patches around them."""

_ADDED_DISTRACTOR = 255
"""The number of a distractor that is added to a patch of a case; synthetic volumes have smaller numbers."""


class Sample(TypedDict):
    """A sample as tensors.

    ``image`` [C, I, J, K]; ``truth`` [1, I, J, K]: the class of each voxel; ``distractors`` [1, I, J, K]: the numbers
    of synthetic objects that the loss ignores until they have a background click; ``needs_click``: whether only clicks
    define the foreground.
    """

    image: torch.Tensor
    truth: torch.Tensor
    distractors: torch.Tensor
    needs_click: bool


class Batch(TypedDict):
    """A batch of samples: each tensor of a ``Sample`` with an additional first axis."""

    image: torch.Tensor
    truth: torch.Tensor
    distractors: torch.Tensor
    needs_click: torch.Tensor


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of a volume.

    Attributes:
        image: The image channels [C, I, J, K].
        truth: The class of each voxel [I, J, K].
        distractors: The number of the distractor of each voxel [I, J, K]; 0 outside distractors.
    """

    image: Float32Array
    truth: LabelArray
    distractors: LabelArray


class SampleDataset(Dataset[Sample]):
    """The samples of a run, by number."""

    def __init__(self, cases: Sequence[GridCase], config: TrainingConfig, *, count: int) -> None:
        """Finds the foreground voxels of the cases.

        Args:
            cases: The cases; may be empty if all samples are synthetic.
            config: The training configuration.
            count: The number of samples.
        """
        self._cases, self._config, self._count = cases, config, count
        self._augment = make_augmentation(config.augmentation, config.patch_size)
        self._foreground = [foreground_indices(case.truth) for case in cases]
        self._model_needs_clicks = config.model.guidance is not None and config.model.guidance.required

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Sample:
        rng = np.random.default_rng([self._config.seed, number])
        if not self._cases or rng.random() < self._config.synthesis.probability:
            patch, needs_click = self._make_synthetic_patch(rng)
        else:
            patch, needs_click = self._make_case_patch(rng), self._model_needs_clicks
        self._augment.set_random_state(int(rng.integers(1 << 31)))
        augmented = self._augment(
            {
                IMAGE: torch.from_numpy(patch.image),
                TRUTH: torch.from_numpy(patch.truth[np.newaxis]),
                DISTRACTORS: torch.from_numpy(patch.distractors[np.newaxis]),
            }
        )
        image, truth, distractors = (augmented[key].as_tensor() for key in (IMAGE, TRUTH, DISTRACTORS))
        return Sample(image=image, truth=truth, distractors=distractors, needs_click=needs_click)

    def _make_synthetic_patch(self, rng: np.random.Generator) -> tuple[Patch, bool]:
        """Returns a synthetic volume, and whether only clicks define which of its objects are foreground."""
        appearances = self._draw_appearances(rng)
        needs_click = (
            self._model_needs_clicks or appearances[0] != "uptake" or rng.random() >= self._config.synthesis.unprompted
        )
        scene = make_scene(self._config.patch_size, appearances, int(rng.integers(1, 6)), rng)
        labels = self._draw_labels(np.unique(scene.objects[scene.objects > 0]), needs_click, rng)
        image = scale_to_model(scene.images, self._config.model)
        return Patch(image, labels[scene.objects], np.zeros_like(scene.objects)), needs_click

    def _draw_appearances(self, rng: np.random.Generator) -> tuple[Appearance, ...]:
        """Returns the appearance of each input; for a single input one of the configured appearances is drawn."""
        by_modality, configured = input_appearances(self._config.model), self._config.synthesis.appearances
        return by_modality if len(by_modality) > 1 else (configured[rng.integers(len(configured))],)

    def _draw_labels(self, objects: LabelArray, needs_click: bool, rng: np.random.Generator) -> LabelArray:
        """Returns the class of each object number; 0 for objects that are background."""
        labels, classes = np.zeros(256, np.uint8), len(self._config.model.classes)
        if not needs_click:
            labels[objects] = 1
            return labels
        labels[objects] = rng.integers(0, classes + 1, len(objects))
        if len(objects) and not labels.any():
            labels[rng.choice(objects)] = rng.integers(1, classes + 1)
        return labels

    def _make_case_patch(self, rng: np.random.Generator) -> Patch:
        index = int(rng.integers(len(self._cases)))
        case, config = self._cases[index], self._config
        size = _size_with_margin(config.patch_size)
        patch = _crop(case, self._draw_start(index, size, rng), size, config, rng)
        has_distractor = rng.random() < config.synthesis.distractor_probability
        return _add_distractor(patch, case, config, rng) if has_distractor else patch

    def _draw_start(self, index: int, size: Triple, rng: np.random.Generator) -> IndexArray:
        """Returns the first voxel of a patch, which contains a foreground voxel or any voxel of the case."""
        shape = np.array(self._cases[index].truth.shape)
        foreground = self._foreground[index]
        if len(foreground) and rng.random() < self._config.foreground_probability:
            voxel = np.array(np.unravel_index(rng.choice(foreground), tuple(shape)))
        else:
            voxel = rng.integers(shape)
        start: IndexArray = voxel - rng.integers(np.array(size) // 4, 3 * np.array(size) // 4 + 1)
        return start


def foreground_indices(truth: LabelArray) -> IndexArray:
    """Returns the flat indices of foreground voxels, evenly thinned out to at most ``MAX_FOREGROUND_INDICES``."""
    indices = np.flatnonzero(truth)
    return indices[:: 1 + len(indices) // MAX_FOREGROUND_INDICES].copy()


def _crop(case: GridCase, start: IndexArray, size: Triple, config: TrainingConfig, rng: np.random.Generator) -> Patch:
    """Returns a patch of a case, padded with zeros or a synthetic volume where it extends beyond the case."""
    first, stop = np.maximum(start, 0), np.minimum(start + size, case.truth.shape)
    source = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    target = tuple(slice(a, b) for a, b in zip(first - start, stop - start, strict=True))
    patch = Patch(np.zeros((len(case.images), *size), np.float32), np.zeros(size, np.uint8), np.zeros(size, np.uint8))
    if (stop - first < size).any() and rng.random() < config.synthesis.padding_probability:
        spec = config.model.for_modality(case.modality)
        padding = make_scene(size, input_appearances(spec), int(rng.integers(0, 5)), rng)
        patch = replace(patch, image=scale_to_model(padding.images, spec), distractors=padding.objects)
    patch.image[(slice(None), *target)] = case.images[(slice(None), *source)]
    patch.truth[target], patch.distractors[target] = case.truth[source], 0
    return patch


def _add_distractor(patch: Patch, case: GridCase, config: TrainingConfig, rng: np.random.Generator) -> Patch:
    """Returns a patch with an additional object outside the foreground."""
    mask = make_blob(patch.truth.shape, rng) & (patch.truth == 0)
    spec = config.model.for_modality(case.modality)
    painted = [
        low + (high - low) * paint_object((channel - low) / (high - low), mask, appearance, rng)
        for channel, (low, high), appearance in zip(
            patch.image, scaled_ranges(spec), input_appearances(spec), strict=True
        )
    ]
    distractors = patch.distractors.copy()
    distractors[mask] = _ADDED_DISTRACTOR
    is_foreground = patch.truth > 0  # the softened border of the object must not change the foreground
    image = np.where(is_foreground, patch.image, np.stack(painted)).astype(np.float32)
    return replace(patch, image=image, distractors=distractors)


def _size_with_margin(patch_size: Triple) -> Triple:
    # The same margin on both sides, so that the centre of the patch is at the centre of the crop.
    i, j, k = (length + 2 * ceil(length * _MARGIN) for length in patch_size)
    return i, j, k


def make_augmentation(config: AugmentationConfig, patch_size: Triple) -> Compose:
    """Returns the transform that augments a crop and extracts the patch at its centre.

    Args:
        config: The strength and the probability of each augmentation.
        patch_size: The size of the patch.
    """
    keys, axes = (IMAGE, TRUTH, DISTRACTORS), range(3)
    sigmas = {"sigma_x": (0.2, 0.8), "sigma_y": (0.2, 0.8), "sigma_z": (0.2, 0.8)}
    return Compose(
        [
            RandAffined(
                keys,
                spatial_size=patch_size,
                prob=config.affine_probability,
                rotate_range=[radians(config.rotation_degrees)] * 3,
                scale_range=[config.scale_range] * 3,
                mode=("bilinear", "nearest", "nearest"),
                padding_mode="zeros",
            ),
            *(RandFlipd(keys, prob=config.flip_probability, spatial_axis=axis) for axis in axes),
            RandSimulateLowResolutiond(IMAGE, prob=config.low_resolution_probability, zoom_range=(0.5, 1.0)),
            RandGaussianSmoothd(IMAGE, prob=config.blur_probability, **sigmas),
            RandAdjustContrastd(IMAGE, prob=config.contrast_probability, gamma=config.contrast_gamma),
            RandScaleIntensityd(IMAGE, prob=config.intensity_probability, factors=config.intensity_factor),
            RandGaussianNoised(IMAGE, prob=config.noise_probability, std=config.noise_std),
        ]
    )
