"""Rasterized polygons, compared with the winding number of each pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clickseg.datasets.rtstruct import rasterize_polygons
from tests.helpers.polygons import STAR, winding_mask


@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_pixels_with_an_odd_winding_number_are_inside(count: int, seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(-3, 14, (count, 2))

    np.testing.assert_array_equal(rasterize_polygons([corners], (11, 9)), winding_mask(corners, (11, 9)))


def test_a_polygon_inside_a_polygon_is_a_hole() -> None:
    outer = np.array([[0.5, 0.5], [0.5, 9.5], [9.5, 9.5], [9.5, 0.5]])
    expected = winding_mask(outer, (11, 12)) & ~winding_mask(STAR, (11, 12))

    np.testing.assert_array_equal(rasterize_polygons([outer, STAR], (11, 12)) & winding_mask(outer, (11, 12)), expected)


def test_polygons_with_a_common_edge_have_no_common_pixel() -> None:
    left = np.array([[1.0, 1.0], [1.0, 4.0], [6.0, 4.0], [6.0, 1.0]])
    right = left + np.array([0.0, 3.0])

    assert rasterize_polygons([left], (9, 9)).sum() == rasterize_polygons([right], (9, 9)).sum() == 15
    assert not (rasterize_polygons([left], (9, 9)) & rasterize_polygons([right], (9, 9))).any()


def test_without_polygons_the_mask_is_empty() -> None:
    assert not rasterize_polygons([], (3, 4)).any()
