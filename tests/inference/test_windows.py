"""Windows have the positions and weights of MONAI or nnU-Net, and cover every voxel."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from clickseg.inference.windows import WindowGrid, importance_map
from clickseg.models.spec import WindowSpec
from tests.helpers.oracles import compute_importance_map, dense_patch_slices

shapes = st.tuples(*[st.integers(1, 40)] * 3)
rois = st.tuples(*[st.integers(1, 16)] * 3)
overlaps = st.floats(0, 0.95)
placements = st.sampled_from(["fixed", "even"])


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


@given(shapes, rois, st.integers(1, 20))
@settings(max_examples=200)
def test_evenly_placed_windows_equal_those_of_nnunet(
    shape: tuple[int, ...], roi: tuple[int, ...], step_twentieths: int
) -> None:
    """The expectation is nnU-Net's rule on an array that was padded to the size of a window, as nnU-Net does."""
    step_size = step_twentieths / 20
    spec = WindowSpec(roi=roi, overlap=1 - step_size, placement="even")

    starts = WindowGrid.cover(shape, spec).starts

    for count, length, ours in zip(shape, roi, starts, strict=True):
        before, padded = max(length - count, 0) // 2, max(count, length)
        step = max(length * step_size, 1)  # nnU-Net would repeat windows at a step below one voxel
        number = int(np.ceil((padded - length) / step)) + 1
        positions = np.round(np.arange(number) * ((padded - length) / (number - 1) if number > 1 else 0))
        assert [*ours] == [int(position) - before for position in positions]


def test_evenly_placed_windows_of_a_known_volume() -> None:
    """By hand: 110 voxels, windows of 64: two steps of at most 32 for 46 voxels are steps of 23."""
    grid = WindowGrid.cover((110, 64, 50), WindowSpec(roi=(64, 64, 64), placement="even"))

    assert grid.starts == ((0, 23, 46), (0,), (-7,))


@given(shapes, rois, overlaps, placements)
@settings(max_examples=100)
def test_every_voxel_is_covered(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float, placement: Literal["fixed", "even"]
) -> None:
    grid = WindowGrid.cover(shape, WindowSpec(roi=roi, overlap=overlap, placement=placement))
    covered = np.zeros(shape, dtype=bool)

    for window in grid:
        covered[window.volume_box] = True
        assert covered[window.volume_box].shape == np.empty(window.roi, dtype=bool)[window.local_box].shape

    assert covered.all()


@given(shapes, rois, overlaps, placements)
@settings(max_examples=100)
def test_no_later_layer_covers_planes_before_the_stop_of_a_layer(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float, placement: Literal["fixed", "even"]
) -> None:
    grid = WindowGrid.cover(shape, WindowSpec(roi=roi, overlap=overlap, placement=placement))
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


@pytest.mark.parametrize("roi", [(8, 8, 8), (5, 9, 16), (1, 2, 3), (48, 20, 31)])
@pytest.mark.parametrize("sigma_scale", [0.125, 0.05, 0.01, 0.3])
def test_the_importance_map_equals_that_of_nnunet(roi: tuple[int, ...], sigma_scale: float) -> None:
    ours = importance_map(WindowSpec(roi=roi, sigma_scale=sigma_scale, mode="nnunet"))

    impulse = np.zeros(roi)
    impulse[tuple(count // 2 for count in roi)] = 1
    theirs = gaussian_filter(impulse, [sigma_scale * count for count in roi], mode="constant")
    theirs *= 10 / theirs.max()
    theirs[theirs == 0] = theirs[theirs > 0].min()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert ours.dtype == np.float32
