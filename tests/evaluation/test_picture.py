"""Pictures of cases: the right slice, from the right side, with both outlines."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from clickseg.evaluation.picture import FOUND_COLOUR, TRUTH_COLOUR, draw_picture
from tests.helpers import phantoms, toys

GEOMETRY = phantoms.oblique_geometry((10, 40, 40), axes=np.eye(3), pixel_spacing=(2, 2))
"""Slices [K] run to the feet, rows [J] to the back, columns [I] to the left."""


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(picture)).convert("RGB")).astype(int)


def near(picture: bytes, colour: str) -> np.ndarray:
    """Where a colour is, nearly."""
    wanted = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    return np.abs(pixels(picture) - wanted).sum(axis=-1) < 90


def draw(truth: np.ndarray, found: np.ndarray) -> bytes:
    volume = GEOMETRY.with_array(np.zeros(truth.shape, np.float32))
    return draw_picture(volume, "HU", [truth], [found])


def test_truth_and_result_are_outlined_where_they_are() -> None:
    shape = GEOMETRY.spatial_shape
    truth = toys.mask(shape, (3, slice(5, 15), slice(5, 15)))  # in front, at the patient's right
    found = toys.mask(shape, (3, slice(25, 35), slice(25, 35)))

    picture = draw(truth, found)

    height, width = pixels(picture).shape[:2]
    for colour, (low, high) in ((TRUTH_COLOUR, (0.0, 0.5)), (FOUND_COLOUR, (0.5, 1.0))):
        rows, columns = np.nonzero(near(picture, colour))
        assert len(rows) > 20
        assert low <= (rows / height).min()
        assert (rows / height).max() <= high
        assert low <= (columns / width).min()
        assert (columns / width).max() <= high


def test_the_slice_with_the_most_errors_is_shown() -> None:
    shape = GEOMETRY.spatial_shape
    truth = toys.mask(shape, (2, slice(5, 35), slice(5, 35)), (6, slice(5, 9), slice(5, 9)))
    found = toys.mask(shape, (2, slice(5, 35), slice(5, 35)))

    picture = draw(truth, found)

    assert near(picture, TRUTH_COLOUR).any()
    assert not near(picture, FOUND_COLOUR).any()  # it is right in the other slice


def test_a_perfect_or_empty_result_is_pictured_too() -> None:
    shape = GEOMETRY.spatial_shape
    truth = toys.mask(shape, (4, slice(5, 9), slice(5, 9)))

    assert near(draw(truth, truth), FOUND_COLOUR).any()
    assert not near(draw(truth & False, truth & False), FOUND_COLOUR).any()


def test_the_same_picture_has_the_same_bytes() -> None:
    truth = toys.mask(GEOMETRY.spatial_shape, (4, slice(5, 9), slice(5, 9)))

    assert draw(truth, ~truth) == draw(truth, ~truth)
