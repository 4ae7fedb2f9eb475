"""Windows, weights and mirroring together give the logits of nnU-Net's sliding window, computed here in float64."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.ndimage import correlate, gaussian_filter

from clickseg.core.progress import no_progress
from clickseg.inference.engines.mirroring import MirroredEngine
from clickseg.inference.kernels import NumpyKernels
from clickseg.inference.model_input import InMemoryImage, ModelInput
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import collect_volume
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import FakeNetwork

ROI = (8, 6, 7)
KERNELS = np.random.default_rng(4).normal(size=(3, 2, 3, 3, 3))
AXES = (0, 2)
SECTION = phantoms.metadata(
    window={"roi": [*ROI], "overlap": 0.4, "placement": "even", "mode": "nnunet"},
    output_channels=3,
    mirror_axes=[*AXES],
)


def run_network(window: np.ndarray) -> np.ndarray:
    """A convolution with zeros around the window [2, I, J, K], and a bias that depends on the position in it."""
    bias = np.arange(np.prod(ROI)).reshape(ROI) % 5 / 5
    responses = [correlate(window, kernel, mode="constant")[1] for kernel in KERNELS]  # at [1] both channels are used
    return np.stack(responses) + bias


def nnunet_logits(channels: np.ndarray, step_size: float) -> np.ndarray:
    """Returns the logits [3, I, J, K] of channels [2, I, J, K]: padded, in evenly spread windows, mirrored."""
    shape = channels.shape[1:]
    padding = [((r - n) // 2, r - n - (r - n) // 2) if n < r else (0, 0) for n, r in zip(shape, ROI, strict=True)]
    padded = np.pad(channels.astype(np.float64), [(0, 0), *padding])
    impulse = np.zeros(ROI)
    impulse[tuple(length // 2 for length in ROI)] = 1
    weights = gaussian_filter(impulse, [length / 8 for length in ROI], mode="constant")
    sums, weight_sums = np.zeros((3, *padded.shape[1:])), np.zeros(padded.shape[1:])
    counts = [int(np.ceil((n - r) / (r * step_size))) + 1 for n, r in zip(padded.shape[1:], ROI, strict=True)]
    starts = [
        np.round(np.linspace(0, n - r, c)).astype(int) for n, r, c in zip(padded.shape[1:], ROI, counts, strict=True)
    ]
    for start in product(*starts):
        box = (slice(None), *(slice(first, first + length) for first, length in zip(start, ROI, strict=True)))
        flips = [(), (1,), (3,), (1, 3)]
        runs = [np.flip(run_network(np.flip(padded[box], flip)), flip) for flip in flips]
        sums[box] += np.mean(runs, axis=0) * weights
        weight_sums[box[1:]] += weights
    inner = tuple(slice(before, before + n) for (before, _), n in zip(padding, shape, strict=True))
    return (sums / weight_sums)[(slice(None), *inner)]


def make_engine(batch: int) -> tuple[MirroredEngine, FakeNetwork]:
    network = FakeNetwork(lambda windows: np.stack([run_network(w) for w in windows]).astype(np.float32), batch)
    return MirroredEngine(network, AXES), network  # type: ignore[arg-type]


def blend(window: SlidingWindow, engine: MirroredEngine) -> np.ndarray:
    return collect_volume(window.blended_planes(engine, NumpyKernels(), no_progress), window.grid.axis)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("shape", [(13, 11, 9), (5, 15, 6)], ids=["larger", "smaller than a window"])
def test_logits_equal_those_of_nnunet(shape: tuple[int, int, int], batch: int) -> None:
    rng = np.random.default_rng(2)
    image, clicked = rng.normal(size=shape).astype(np.float32), rng.integers(0, shape, size=(9, 3))
    inputs = ModelInput((InMemoryImage(image),), (clicked,))

    logits = blend(SlidingWindow(inputs, ModelSpec.model_validate(SECTION)), make_engine(batch)[0])

    balls = np.zeros(shape)
    balls[tuple(clicked.T)] = 1
    expected = nnunet_logits(np.stack([image, balls]), step_size=0.6)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_windows_with_the_same_constants_are_run_once_for_each_flip() -> None:
    images = np.zeros((2, 30, 6, 7), np.float32)
    images[:, 26:] = 3
    window = SlidingWindow(
        ModelInput(tuple(InMemoryImage(image) for image in images), ()), ModelSpec.model_validate(SECTION)
    )
    engine, network = make_engine(1)

    logits = blend(window, engine)

    assert window.windows_reused > 0
    assert network.calls == 4 * window.windows_run
    assert window.windows_run + window.windows_reused == len(window.grid)
    np.testing.assert_allclose(logits, nnunet_logits(images, step_size=0.6), rtol=1e-4, atol=1e-4)
