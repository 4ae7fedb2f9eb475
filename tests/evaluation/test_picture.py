"""Pictures of cases: the right slice in the right orientation, with both outlines."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from clickseg.evaluation.picture import PREDICTION_COLOUR, TRUTH_COLOUR, draw_picture
from tests.helpers import phantoms, toys

GEOMETRY = phantoms.oblique_geometry((10, 40, 40), axes=np.eye(3), pixel_spacing=(2, 2))
"""Slices [K] go to the feet, rows [J] to the back, columns [I] to the left."""


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(picture)).convert("RGB")).astype(int)


def has_colour(picture: bytes, colour: str) -> np.ndarray:
    """Whether each pixel has nearly a colour."""
    rgb = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    return np.abs(pixels(picture) - rgb).sum(axis=-1) < 90


def draw(truth: np.ndarray, prediction: np.ndarray) -> bytes:
    volume = GEOMETRY.with_array(np.zeros(truth.shape, np.float32))
    return draw_picture(volume, "HU", [truth], [prediction])


def test_the_outlines_of_ground_truth_and_prediction_are_at_their_positions() -> None:
    shape = GEOMETRY.spatial_shape
    truth = toys.make_mask(shape, (3, slice(5, 15), slice(5, 15)))  # anterior, on the right side of the patient
    prediction = toys.make_mask(shape, (3, slice(25, 35), slice(25, 35)))

    picture = draw(truth, prediction)

    height, width = pixels(picture).shape[:2]
    for colour, (low, high) in ((TRUTH_COLOUR, (0.0, 0.5)), (PREDICTION_COLOUR, (0.5, 1.0))):
        rows, columns = np.nonzero(has_colour(picture, colour))
        assert len(rows) > 20
        assert low <= (rows / height).min()
        assert (rows / height).max() <= high
        assert low <= (columns / width).min()
        assert (columns / width).max() <= high


def test_the_slice_with_the_most_errors_is_shown() -> None:
    shape = GEOMETRY.spatial_shape
    truth = toys.make_mask(shape, (2, slice(5, 35), slice(5, 35)), (6, slice(5, 9), slice(5, 9)))
    prediction = toys.make_mask(shape, (2, slice(5, 35), slice(5, 35)))

    picture = draw(truth, prediction)

    assert has_colour(picture, TRUTH_COLOUR).any()
    assert not has_colour(picture, PREDICTION_COLOUR).any()  # the prediction is correct in the other slice


def test_a_perfect_or_empty_prediction_has_a_picture_too() -> None:
    shape = GEOMETRY.spatial_shape
    truth = toys.make_mask(shape, (4, slice(5, 9), slice(5, 9)))

    assert has_colour(draw(truth, truth), PREDICTION_COLOUR).any()
    assert not has_colour(draw(truth & False, truth & False), PREDICTION_COLOUR).any()


def test_the_same_picture_has_the_same_bytes() -> None:
    truth = toys.make_mask(GEOMETRY.spatial_shape, (4, slice(5, 9), slice(5, 9)))

    assert draw(truth, ~truth) == draw(truth, ~truth)
