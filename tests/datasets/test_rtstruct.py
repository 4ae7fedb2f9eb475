"""Which pixels lie in a polygon: the judge walks around each pixel and adds up the angles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clickseg.datasets.rtstruct import inside

STAR = np.array([[1.3, 2.2], [6.1, 9.7], [2.4, 5.1], [8.3, 3.6], [7.2, 11.4]])


def wound(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Whether a polygon winds around each pixel an odd number of times."""
    pixels = np.indices(shape).reshape(2, -1).T
    towards = np.arctan2(*(polygon[None] - pixels[:, None]).transpose(2, 0, 1))
    turned = (np.roll(towards, -1, axis=1) - towards + np.pi) % (2 * np.pi) - np.pi
    return (np.rint(turned.sum(axis=1) / (2 * np.pi)).astype(int) % 2 == 1).reshape(shape)


@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_pixels_are_inside_around_which_the_polygon_winds(count: int, seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(-3, 14, (count, 2))

    np.testing.assert_array_equal(inside([corners], (11, 9)), wound(corners, (11, 9)))


def test_a_polygon_within_a_polygon_is_a_hole() -> None:
    outer = np.array([[0.5, 0.5], [0.5, 9.5], [9.5, 9.5], [9.5, 0.5]])
    expected = wound(outer, (11, 12)) & ~wound(STAR, (11, 12))

    np.testing.assert_array_equal(inside([outer, STAR], (11, 12)) & wound(outer, (11, 12)), expected)


def test_polygons_that_share_an_edge_share_no_pixel() -> None:
    left = np.array([[1.0, 1.0], [1.0, 4.0], [6.0, 4.0], [6.0, 1.0]])
    right = left + np.array([0.0, 3.0])

    assert inside([left], (9, 9)).sum() == inside([right], (9, 9)).sum() == 15
    assert not (inside([left], (9, 9)) & inside([right], (9, 9))).any()


def test_of_no_polygons_nothing_is_inside() -> None:
    assert not inside([], (3, 4)).any()
