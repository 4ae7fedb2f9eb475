"""Synthetic volumes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from clickseg.training.synthetic import Appearance, make_blob, make_field, make_scene, paint_object

SHAPE = (20, 28, 24)


@pytest.mark.parametrize("appearances", [("uptake",), ("contrast",), ("uptake", "contrast")])
def test_a_scene_depends_only_on_its_random_number_generator(appearances: tuple[Appearance, ...]) -> None:
    first, second = (make_scene(SHAPE, appearances, 3, np.random.default_rng(5)) for _ in range(2))

    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.objects, second.objects)
    assert first.images.shape == (len(appearances), *SHAPE)
    assert first.images.dtype == np.float32
    assert np.isfinite(first.images).all()
    assert first.images.min() >= 0


def test_uptake_objects_are_brighter_than_their_surroundings() -> None:
    brighter = 0
    for seed in range(20):
        scene = make_scene(SHAPE, ("uptake",), 1, np.random.default_rng(seed))
        inside, (image,) = scene.objects > 0, scene.images
        brighter += image[inside].mean() > image[~inside].mean() if inside.any() else True

    assert brighter >= 19


def test_blobs_are_mostly_one_component_at_a_random_position() -> None:
    masks = [make_blob(SHAPE, np.random.default_rng(seed)) for seed in range(30)]
    largest = [np.bincount(label(mask)[0].ravel())[1:].max() / mask.sum() for mask in masks if mask.any()]

    assert len(largest) >= 28
    assert np.median(largest) > 0.9
    assert len({tuple(np.argwhere(mask).mean(axis=0).round()) for mask in masks if mask.any()}) > 20


def test_a_field_has_zero_mean_and_unit_variance() -> None:
    values = make_field(SHAPE, np.random.default_rng(0))

    assert abs(values.mean()) < 1e-4
    assert abs(values.std() - 1) < 1e-3


def test_an_object_does_not_change_distant_voxels() -> None:
    image, mask = np.full(SHAPE, 0.2, np.float32), np.zeros(SHAPE, bool)
    mask[2:6, 3:8, 4:9] = True

    painted = paint_object(image, mask, "uptake", np.random.default_rng(1))

    assert np.array_equal(painted[14:], image[14:])
    assert painted[3:5, 4:7, 5:8].mean() > 0.21
