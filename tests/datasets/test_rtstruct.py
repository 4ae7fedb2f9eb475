"""Which pixels lie in a polygon: the judge walks around each pixel and adds up the angles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clickseg.datasets.rtstruct import inside
from tests.helpers.polygons import STAR, wound


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
