"""Intensities are scaled as in MONAI."""

from __future__ import annotations

import numpy as np
import pytest

from clickseg.inference.intensity import fit_scaler
from clickseg.models.spec import PercentileScaling, RangeScaling, Scaling, SquareRootScaling, ZScoreScaling
from tests.helpers.oracles import NormalizeIntensity, ScaleIntensityRange, ScaleIntensityRangePercentiles


def scale(values: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Scales values in two parts, with a scaler fitted on two other parts."""
    scaler = fit_scaler(scaling, lambda: (values[:5], values[5:]))
    return np.concatenate([scaler(values[:2]), scaler(values[2:])])


@pytest.fixture
def values() -> np.ndarray:
    noise = np.random.default_rng(3).normal(100, 300, (9, 10, 11)).astype(np.float32)
    noise[:3] = 0
    return noise


@pytest.mark.parametrize("clip", [True, False])
def test_range_scaling_equals_monai(values: np.ndarray, clip: bool) -> None:
    ours = scale(values, RangeScaling(kind="range", a_min=-57, a_max=164, b_min=-1, b_max=1, clip=clip))

    np.testing.assert_allclose(ours, ScaleIntensityRange(-57, 164, -1, 1, clip)(values).numpy(), atol=1e-5)
    assert ours.dtype == np.float32


def test_percentile_scaling_equals_monai(values: np.ndarray) -> None:
    ours = scale(values, PercentileScaling(kind="percentile", lower=0.5, upper=99.5))

    theirs = ScaleIntensityRangePercentiles(0.5, 99.5, 0, 1, clip=True)(values)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


@pytest.mark.parametrize("nonzero", [True, False])
def test_zscore_scaling_equals_monai(values: np.ndarray, nonzero: bool) -> None:
    ours = scale(values, ZScoreScaling(kind="zscore", nonzero=nonzero))

    np.testing.assert_allclose(ours, NormalizeIntensity(nonzero=nonzero)(values).numpy(), atol=1e-4)


@pytest.mark.parametrize("nonzero", [True, False])
def test_zscore_scaling_of_the_minimum_has_the_smallest_value_at_0(values: np.ndarray, nonzero: bool) -> None:
    ours = scale(values, ZScoreScaling(kind="zscore", nonzero=nonzero, centre="minimum"))

    chosen = values[values != 0] if nonzero else values
    expected = (values.astype(np.float64) - chosen.min()) / chosen.std(dtype=np.float64)
    np.testing.assert_allclose(ours, np.where(values == 0, 0, expected) if nonzero else expected, atol=1e-5)


def test_the_centre_of_zscore_scaling_is_written_only_if_it_is_not_the_mean() -> None:
    assert ZScoreScaling(kind="zscore").model_dump() == {"kind": "zscore", "nonzero": False}


def test_square_root_scaling(values: np.ndarray) -> None:
    ours = scale(values, SquareRootScaling(kind="square_root", minimum=0, maximum=25))

    np.testing.assert_allclose(ours, np.sqrt(np.clip(values.astype(np.float64), 0, 25)), rtol=1e-6)


@pytest.mark.parametrize(
    "scaling", [PercentileScaling(kind="percentile", lower=1, upper=99), ZScoreScaling(kind="zscore", nonzero=True)]
)
def test_a_constant_volume_is_scaled_to_zero(scaling: PercentileScaling | ZScoreScaling) -> None:
    for value in (0.0, 7.0):
        assert not scale(np.full((4, 4, 4), value, np.float32), scaling).any()
