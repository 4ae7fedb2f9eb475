"""Compiled loops give the bytes of NumPy's, whatever the number of threads; and both are right."""

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
from clickseg.inference.kernels import KernelChoice, Kernels, PlainKernels
from clickseg.inference.resample import Neighbours, LinearWeights
from clickseg.inference.stitching import MakeStitching, Slab, Spool, collected
from clickseg.inference.windows import WindowGrid, importance_map
from clickseg.models.spec import WindowSpec

PLAIN = PlainKernels()
COMPILED = [CompiledKernels(threads) for threads in (1, 3)]
shapes = st.tuples(*[st.integers(1, 24)] * 3)
rois = st.tuples(*[st.integers(1, 12)] * 3)


def blended(
    grid: WindowGrid, weight: np.ndarray, logits: list[np.ndarray], kernels: Kernels, make: MakeStitching = Slab
) -> np.ndarray:
    """The planes of a volume whose windows say some logits."""
    stitching = make(grid, weight, len(logits[0]), kernels)
    said = iter(logits)

    def blocks():
        for layer in grid.layers():
            for window in layer.windows:
                stitching.add(window, next(said))
            yield from stitching.finish_planes(layer.stop)

    return collected(blocks(), grid.axis)


@given(shapes, rois, st.floats(0, 0.9), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_slab_at_a_time_is_the_whole_volume_at_once_and_so_are_planes_from_the_disk(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float, channels: int, seed: int
) -> None:
    spec = WindowSpec(roi=roi, overlap=overlap)
    grid, weight = WindowGrid.over(shape, spec), importance_map(spec)
    rng = np.random.default_rng(seed)
    logits = [rng.normal(size=(channels, *roi)).astype(np.float32) for _ in grid]

    found = [blended(grid, weight, logits, kernels) for kernels in (PLAIN, *COMPILED)]
    for planes in (1, 3, 30):
        spool = partial(Spool, folder=Path(tempfile.gettempdir()), planes=planes)
        found += [blended(grid, weight, logits, kernels, spool) for kernels in (PLAIN, COMPILED[0])]

    total, weights = np.zeros((channels, *shape), np.float32), np.zeros(shape, np.float32)
    for window, said in zip(grid, logits, strict=True):  # the naive way, in the same order
        total[(slice(None), *window.place)] += said[(slice(None), *window.local_box)] * weight[window.local_box]
        weights[window.place] += weight[window.local_box]
    for each in found:
        assert each.tobytes() == (total * (np.float32(1) / weights)).tobytes()


@given(
    st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 13)] * 3), st.integers(1, 11), st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_compiled_decisions_are_those_of_numpy(
    shape: tuple[int, ...], wanted: tuple[int, ...], channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.integers(-3, 3, size=(shape[0], channels, *shape[1:])).astype(np.float32)  # with many equal ones
    places = [np.sort(rng.uniform(-0.5, n, size=m)) for n, m in zip(shape, wanted, strict=True)]
    between = Neighbours(*(LinearWeights.at_coordinates(each, n) for each, n in zip(places, shape, strict=True)))
    numbers = rng.permutation(channels).astype(np.uint8)

    found = []
    for kernels in (PLAIN, *COMPILED):
        best, labels = np.full(wanted, -np.inf, np.float32), np.zeros(wanted, np.uint8)
        half = max(channels // 2, 1)
        kernels.argmax(best, labels, planes[:, :half].copy(), between, numbers[:half])
        if half < channels:
            kernels.argmax(best, labels, planes[:, half:].copy(), between, numbers[half:])
        bits = np.zeros((*wanted, 2), np.uint8)
        kernels.threshold(bits, planes, between, 3)
        found.append((best.tobytes(), labels.tobytes(), bits.tobytes()))

    assert found[0] == found[1] == found[2]


def test_interpolation_is_linear_and_keeps_what_lies_on_the_grid() -> None:
    planes = np.random.default_rng(1).normal(size=(4, 3, 5, 6)).astype(np.float32)
    between = Neighbours(*(LinearWeights.at_coordinates(np.arange(n, dtype=float), n) for n in (4, 5, 6)))
    best, labels = np.full((4, 5, 6), -np.inf, np.float32), np.zeros((4, 5, 6), np.uint8)

    COMPILED[0].argmax(best, labels, planes, between, np.array([7, 8, 9], np.uint8))

    np.testing.assert_array_equal(best, planes.max(axis=1))
    np.testing.assert_array_equal(labels, planes.argmax(axis=1) + 7)


def test_little_work_is_not_worth_compiling_for_and_much_is_compiled_for_once() -> None:
    choose = KernelChoice()

    assert isinstance(choose(1000), PlainKernels)
    assert isinstance(choose(1 << 40), CompiledKernels)
    assert choose(1 << 40) is choose(1 << 41)


def test_without_numba_numpy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert isinstance(KernelChoice()(1 << 40), PlainKernels)
