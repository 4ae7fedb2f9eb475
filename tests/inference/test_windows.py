"""Windows have the positions and weights of MONAI, and cover every voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.inference.windows import WindowGrid, importance_map
from clickseg.models.spec import WindowSpec
from tests.helpers.oracles import compute_importance_map, dense_patch_slices

shapes = st.tuples(*[st.integers(1, 40)] * 3)
rois = st.tuples(*[st.integers(1, 16)] * 3)
overlaps = st.floats(0, 0.95)


@given(shapes, rois, overlaps)
@settings(max_examples=200)
def test_windows_equal_those_of_monai(shape: tuple[int, ...], roi: tuple[int, ...], overlap: float) -> None:
    grid = WindowGrid.cover(shape, WindowSpec(roi=roi, overlap=overlap))

    padded = tuple(max(n, r) for n, r in zip(shape, roi, strict=True))
    interval = tuple(r if r == n else max(int(r * (1 - overlap)), 1) for n, r in zip(padded, roi, strict=True))
    before = [(p - n) // 2 for p, n in zip(padded, shape, strict=True)]
    theirs = [
        tuple(s.start - b for s, b in zip(box, before, strict=True))
        for box in dense_patch_slices(padded, roi, interval)
    ]
    ours = [window.start for window in grid]
    assert sorted(ours) == sorted(theirs)
    assert ours == sorted(ours, key=lambda start: (start[grid.axis], start))
    assert len(grid) == len(ours)


@given(shapes, rois, overlaps)
@settings(max_examples=100)
def test_every_voxel_is_covered(shape: tuple[int, ...], roi: tuple[int, ...], overlap: float) -> None:
    grid = WindowGrid.cover(shape, WindowSpec(roi=roi, overlap=overlap))
    covered = np.zeros(shape, dtype=bool)

    for window in grid:
        covered[window.volume_box] = True
        assert covered[window.volume_box].shape == np.empty(window.roi, dtype=bool)[window.local_box].shape

    assert covered.all()


@given(shapes, rois, overlaps)
@settings(max_examples=100)
def test_no_later_layer_covers_planes_before_the_stop_of_a_layer(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float
) -> None:
    grid = WindowGrid.cover(shape, WindowSpec(roi=roi, overlap=overlap))
    layers = list(grid.layers())

    assert [window for layer in layers for window in layer.windows] == list(grid)
    for number, layer in enumerate(layers):
        later = [
            window.volume_box[grid.axis].start for later_layer in layers[number + 1 :] for window in later_layer.windows
        ]
        assert layer.stop == min(later, default=shape[grid.axis])


@given(shapes, rois)
def test_the_volume_is_processed_along_the_axis_with_the_smallest_layers(
    shape: tuple[int, ...], roi: tuple[int, ...]
) -> None:
    grid = WindowGrid.cover(shape, WindowSpec(roi=roi))

    fractions = [min(count, window) / count for count, window in zip(shape, roi, strict=True)]  # of the volume
    assert fractions[grid.axis] == min(fractions)


def test_a_volume_smaller_than_the_window_is_centred_in_it() -> None:
    grid = WindowGrid.cover((5, 8, 20), WindowSpec(roi=(8, 8, 8), overlap=0.5))

    first = next(iter(grid))
    assert first.start == (-1, 0, 0)
    assert first.volume_box == (slice(0, 5), slice(0, 8), slice(0, 8))
    assert first.local_box == (slice(1, 6), slice(0, 8), slice(0, 8))


@pytest.mark.parametrize("roi", [(8, 8, 8), (5, 9, 16), (1, 2, 3), (64, 64, 64)])
@pytest.mark.parametrize("sigma_scale", [0.125, 0.3])
def test_the_importance_map_equals_that_of_monai(roi: tuple[int, ...], sigma_scale: float) -> None:
    ours = importance_map(WindowSpec(roi=roi, sigma_scale=sigma_scale))

    theirs = compute_importance_map(roi, mode="gaussian", sigma_scale=sigma_scale)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-7)
