"""Compiled loops and NumPy give the same, correct bytes with any number of threads."""

from __future__ import annotations

import importlib.util
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.inference.compiled import CompiledKernels
from clickseg.inference.kernels import KernelChoice, Kernels, NumpyKernels
from clickseg.inference.linear import LinearWeights, TrilinearWeights
from clickseg.inference.stitching import DiskStitching, SlabStitching, StitchingFactory, collect_volume
from clickseg.inference.windows import WindowGrid, importance_map
from clickseg.models.spec import WindowSpec

NUMPY = NumpyKernels()
COMPILED = [CompiledKernels(threads) for threads in (1, 3)]
shapes = st.tuples(*[st.integers(1, 24)] * 3)
rois = st.tuples(*[st.integers(1, 12)] * 3)


def blend(
    grid: WindowGrid,
    weight: np.ndarray,
    logits: list[np.ndarray],
    kernels: Kernels,
    make_stitching: StitchingFactory = SlabStitching,
) -> np.ndarray:
    """Blends the given logits of all windows of a volume."""
    stitching = make_stitching(grid, weight, len(logits[0]), kernels)
    window_logits = iter(logits)

    def blocks():
        for layer in grid.layers():
            for window in layer.windows:
                stitching.add(window, next(window_logits))
            yield from stitching.finish_planes(layer.stop)

    return collect_volume(blocks(), grid.axis)


@given(shapes, rois, st.floats(0, 0.9), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_slab_and_disk_stitching_equal_blending_the_entire_volume_at_once(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float, channels: int, seed: int
) -> None:
    spec = WindowSpec(roi=roi, overlap=overlap)
    grid, weight = WindowGrid.cover(shape, spec), importance_map(spec)
    rng = np.random.default_rng(seed)
    logits = [rng.normal(size=(channels, *roi)).astype(np.float32) for _ in grid]

    volumes = [blend(grid, weight, logits, kernels) for kernels in (NUMPY, *COMPILED)]
    for planes in (1, 3, 30):
        disk_stitching = partial(DiskStitching, folder=Path(tempfile.gettempdir()), planes=planes)
        volumes += [blend(grid, weight, logits, kernels, disk_stitching) for kernels in (NUMPY, COMPILED[0])]

    total, weights = np.zeros((channels, *shape), np.float32), np.zeros(shape, np.float32)
    for window, window_logits in zip(grid, logits, strict=True):  # the naive method, in the same order
        total[(slice(None), *window.volume_box)] += (
            window_logits[(slice(None), *window.local_box)] * weight[window.local_box]
        )
        weights[window.volume_box] += weight[window.local_box]
    for volume in volumes:
        assert volume.tobytes() == (total * (np.float32(1) / weights)).tobytes()


@given(
    st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 13)] * 3), st.integers(1, 11), st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_compiled_argmax_threshold_and_overwrite_equal_numpy(
    shape: tuple[int, ...], source_shape: tuple[int, ...], channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.integers(-3, 3, size=(shape[0], channels, *shape[1:])).astype(np.float32)  # with many ties
    coordinates = [np.sort(rng.uniform(-0.5, n, size=m)) for n, m in zip(shape, source_shape, strict=True)]
    neighbours = TrilinearWeights(
        *(LinearWeights.at_coordinates(axis, n) for axis, n in zip(coordinates, shape, strict=True))
    )
    numbers = rng.permutation(channels).astype(np.uint8)

    results = []
    for kernels in (NUMPY, *COMPILED):
        highest, labels = np.full(source_shape, -np.inf, np.float32), np.zeros(source_shape, np.uint8)
        half = max(channels // 2, 1)
        kernels.argmax(highest, labels, planes[:, :half].copy(), neighbours, numbers[:half])
        if half < channels:
            kernels.argmax(highest, labels, planes[:, half:].copy(), neighbours, numbers[half:])
        bits = np.zeros((*source_shape, 2), np.uint8)
        kernels.threshold(bits, planes, neighbours, 3)
        overwritten = np.zeros(source_shape, np.uint16)
        kernels.overwrite(overwritten, planes, neighbours, 300 + numbers.astype(np.uint16))
        results.append((highest.tobytes(), labels.tobytes(), bits.tobytes(), overwritten.tobytes()))

    assert results[0] == results[1] == results[2]


def test_interpolation_at_grid_points_returns_their_values() -> None:
    planes = np.random.default_rng(1).normal(size=(4, 3, 5, 6)).astype(np.float32)
    neighbours = TrilinearWeights(*(LinearWeights.at_coordinates(np.arange(n, dtype=float), n) for n in (4, 5, 6)))
    highest, labels = np.full((4, 5, 6), -np.inf, np.float32), np.zeros((4, 5, 6), np.uint8)

    COMPILED[0].argmax(highest, labels, planes, neighbours, np.array([7, 8, 9], np.uint8))

    np.testing.assert_array_equal(highest, planes.max(axis=1))
    np.testing.assert_array_equal(labels, planes.argmax(axis=1) + 7)


@pytest.mark.parametrize("kernels", [NUMPY, COMPILED[0]])
def test_the_last_channel_above_0_overwrites_the_earlier_ones(kernels: Kernels) -> None:
    planes = np.random.default_rng(3).normal(size=(4, 3, 5, 6)).astype(np.float32)
    planes[0, 1, 2, 3] = 0
    at_voxels = TrilinearWeights(*(LinearWeights.at_coordinates(np.arange(n, dtype=float), n) for n in (4, 5, 6)))
    labels = np.zeros((4, 5, 6), np.uint8)

    kernels.overwrite(labels, planes, at_voxels, np.array([7, 9, 8], np.uint8))

    expected = np.select([planes[:, 2] > 0, planes[:, 1] > 0, planes[:, 0] > 0], [8, 9, 7], 0)
    np.testing.assert_array_equal(labels, expected)


def test_loops_are_compiled_once_and_only_for_large_jobs() -> None:
    choose = KernelChoice()

    assert isinstance(choose(1000), NumpyKernels)
    assert isinstance(choose(1 << 40), CompiledKernels)
    assert choose(1 << 40) is choose(1 << 41)


def test_without_numba_the_numpy_kernels_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert isinstance(KernelChoice()(1 << 40), NumpyKernels)
