"""The slices of the preview cut the segment, and outline it in its colour."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from clickseg.core.label_map import LabelMap
from clickseg.results.preview import _central_voxel, _erode, draw_preview
from tests.helpers import phantoms
from tests.helpers.dicom_results import spec


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.9))
def test_all_three_slices_cut_the_segment(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((5, 6, 7)) < density
    mask[2, 3, 4] = True

    assert mask[_central_voxel(mask)]


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.99))
def test_erosion_equals_that_of_scipy(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((9, 11)) < density

    np.testing.assert_array_equal(_erode(mask), ndimage.binary_erosion(mask, border_value=1))


def test_a_segment_is_outlined_in_its_colour_in_each_of_the_three_slices() -> None:
    volume = phantoms.hook_volume(phantoms.oblique_geometry((30, 40, 50)), 100.0, -100.0)
    labels = LabelMap((volume.array > 0).astype(np.uint8), False, 1)

    picture = np.asarray(draw_preview(volume, "HU", labels, (), spec()))

    coloured = (picture == spec().classes[0].colour).all(axis=-1).any(axis=0)
    starts = np.flatnonzero(np.diff(np.concatenate([[False], coloured])) & coloured)
    assert len(starts) >= 3
