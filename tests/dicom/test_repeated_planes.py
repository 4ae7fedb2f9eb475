"""Planes with several spacings are repeated over the slices of a uniform grid, half-way to their neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.dicom.repeated_planes import nearest_planes, repeat_planes

SEVERAL_SPACINGS = {
    "2 to 1": ([2.5, 2.5, 2.5, 5, 5], 1.25, [2, 2, 2, 3, 4, 4]),
    "1 to 2": ([5, 5, 2.5, 2.5], 1.25, [4, 4, 3, 2, 2]),
    "3 to 5": ([3, 3, 5, 5], 1.0, [3, 3, 4, 5, 5]),
    "3 to 1": ([6, 2, 2], 2.0, [3, 2, 1, 1]),
    "2 to 3": ([4, 4, 6], 1.0, [4, 4, 5, 6]),
    "missing slice": ([2, 2, 4, 2], 1.0, [2, 2, 3, 3, 2]),
    "uniform": ([3, 3, 3], 3.0, [1, 1, 1, 1]),
}


@pytest.mark.parametrize(("steps_mm", "spacing_mm", "counts"), SEVERAL_SPACINGS.values(), ids=SEVERAL_SPACINGS)
def test_each_plane_is_repeated_half_way_to_its_neighbours(
    steps_mm: list[float], spacing_mm: float, counts: list[int]
) -> None:
    repeated = repeat_planes(np.array(steps_mm, dtype=float))

    planes = nearest_planes(repeated.slice_coordinates, repeated.slice_count)

    assert repeated.spacing_mm == pytest.approx(spacing_mm)
    assert np.bincount(planes).tolist() == counts
    assert (np.diff(planes) >= 0).all()
    np.testing.assert_allclose(np.diff(repeated.slice_coordinates) * repeated.spacing_mm, steps_mm)


@pytest.mark.parametrize("steps_mm", [[2.5, 2.5, 5, 5], [3, 5, 3], [4, 6, 6]])
def test_positions_may_jitter_without_effect(steps_mm: list[float]) -> None:
    exact = repeat_planes(np.array(steps_mm, dtype=float))

    jittered = repeat_planes(np.array(steps_mm) + 0.02 * np.resize([1, -1], len(steps_mm)))

    np.testing.assert_array_equal(
        nearest_planes(jittered.slice_coordinates, jittered.slice_count),
        nearest_planes(exact.slice_coordinates, exact.slice_count),
    )


@given(st.lists(st.floats(1, 8), min_size=1, max_size=30))
def test_any_spacing_is_represented_within_a_slice(steps: list[float]) -> None:
    steps_mm = np.array(steps)
    repeated = repeat_planes(steps_mm)

    planes = nearest_planes(repeated.slice_coordinates, repeated.slice_count)

    expected_mm = np.convolve([steps_mm[0], *steps_mm, steps_mm[-1]], [0.5, 0.5], mode="valid")
    actual_mm = np.bincount(planes, minlength=len(expected_mm)) * repeated.spacing_mm
    assert np.abs(actual_mm - expected_mm).max() <= 1.11 * repeated.spacing_mm
    nearest_slices = np.floor(repeated.slice_coordinates + 0.5).astype(int)
    np.testing.assert_array_equal(planes[nearest_slices], np.arange(len(expected_mm)))  # labels return to their plane
