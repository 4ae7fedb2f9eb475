"""Synthetic volumes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from clickseg.training.synthetic import Look, blob, field, painted, scene

SHAPE = (20, 28, 24)


@pytest.mark.parametrize("looks", [("uptake",), ("contrast",), ("uptake", "contrast")])
def test_a_scene_is_drawn_from_its_generator_alone(looks: tuple[Look, ...]) -> None:
    one, other = (scene(SHAPE, looks, 3, np.random.default_rng(5)) for _ in range(2))

    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.objects, other.objects)
    assert one.images.shape == (len(looks), *SHAPE)
    assert one.images.dtype == np.float32
    assert np.isfinite(one.images).all()
    assert one.images.min() >= 0


def test_objects_of_uptake_are_brighter_than_what_is_around_them() -> None:
    brighter = 0
    for seed in range(20):
        made = scene(SHAPE, ("uptake",), 1, np.random.default_rng(seed))
        inside, (image,) = made.objects > 0, made.images
        brighter += image[inside].mean() > image[~inside].mean() if inside.any() else True

    assert brighter >= 19


def test_a_blob_has_a_middle_of_its_own() -> None:
    masks = [blob(SHAPE, np.random.default_rng(seed)) for seed in range(30)]
    largest = [np.bincount(label(mask)[0].ravel())[1:].max() / mask.sum() for mask in masks if mask.any()]

    assert len(largest) >= 28
    assert np.median(largest) > 0.9
    assert len({tuple(np.argwhere(mask).mean(axis=0).round()) for mask in masks if mask.any()}) > 20


def test_a_field_has_no_mean_and_unit_variance() -> None:
    values = field(SHAPE, np.random.default_rng(0))

    assert abs(values.mean()) < 1e-4
    assert abs(values.std() - 1) < 1e-3


def test_an_object_changes_nothing_far_from_it() -> None:
    image, mask = np.full(SHAPE, 0.2, np.float32), np.zeros(SHAPE, bool)
    mask[2:6, 3:8, 4:9] = True

    drawn = painted(image, mask, "uptake", np.random.default_rng(1))

    assert np.array_equal(drawn[14:], image[14:])
    assert drawn[3:5, 4:7, 5:8].mean() > 0.21
