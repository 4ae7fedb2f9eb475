"""Scales intensities as the model package defines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from typing_extensions import assert_never

from clickseg.core.arrays import Float32Array
from clickseg.models.spec import (
    PercentileScaling,
    PointwiseScaling,
    RangeScaling,
    SigmoidScaling,
    SquareRootScaling,
    TanhScaling,
    ZScoreScaling,
)

Scaler = Callable[[Float32Array], Float32Array]
"""Scales values voxel by voxel."""


def fit_scaler(scaling: PointwiseScaling, blocks: Callable[[], Iterable[Float32Array]]) -> Scaler:
    """Returns a function that scales the values of a volume, one part at a time.

    Args:
        scaling: The scaling that the model was trained with.
        blocks: Returns the entire volume on the model grid in blocks, in its unit; called only if the scaling depends
            on the values of the volume.
    """
    match scaling:
        case RangeScaling(a_min=low, a_max=high, b_min=to_low, b_max=to_high, clip=clip):
            return lambda values: _scale_to_range(values, low, high, to_low, to_high, clip)
        case SquareRootScaling(minimum=low, maximum=high):
            return lambda values: np.sqrt(np.clip(values, np.float32(low), np.float32(high)))
        case PercentileScaling(lower=lower, upper=upper, b_min=to_low, b_max=to_high, clip=clip):
            values = np.concatenate([block.ravel() for block in blocks()])  # percentiles need all values at once
            low, high = (float(value) for value in np.percentile(values, [lower, upper], overwrite_input=True))
            return lambda values: _scale_to_range(values, low, high, to_low, to_high, clip)
        case ZScoreScaling(nonzero=nonzero, centre=centre):
            mean, deviation = _mean_and_deviation(blocks, nonzero)
            zero = _minimum(blocks, nonzero) if centre == "minimum" else mean
            return lambda values: _scale_to_zscore(values, zero, deviation, nonzero)
        case SigmoidScaling():
            return lambda values: np.float32(1) / (np.float32(1) + np.exp(-values))
        case TanhScaling(factor=factor):
            return lambda values: np.float32(factor) * np.tanh(values / np.float32(factor))
        case _:
            assert_never(scaling)


def _scale_to_range(
    values: Float32Array, low: float, high: float, to_low: float, to_high: float, clip: bool
) -> Float32Array:
    if high == low:
        return np.full_like(values, to_low)
    scaled = (values - np.float32(low)) * np.float32((to_high - to_low) / (high - low)) + np.float32(to_low)
    return np.clip(scaled, np.float32(min(to_low, to_high)), np.float32(max(to_low, to_high))) if clip else scaled


def _mean_and_deviation(blocks: Callable[[], Iterable[Float32Array]], nonzero: bool) -> tuple[float, float]:
    """Returns mean and standard deviation, summed block by block in 64 bits; 0 and 1 if there are no voxels."""
    count, total = 0, 0.0
    for values in _select_voxels(blocks, nonzero):
        count, total = count + values.size, total + float(values.sum(dtype=np.float64))
    mean = total / count if count else 0.0
    squares = sum(float(((values.astype(np.float64) - mean) ** 2).sum()) for values in _select_voxels(blocks, nonzero))
    return mean, math.sqrt(squares / count) or 1.0 if count else 1.0


def _minimum(blocks: Callable[[], Iterable[Float32Array]], nonzero: bool) -> float:
    """Returns the smallest value; 0 if there are no voxels."""
    return min((float(values.min()) for values in _select_voxels(blocks, nonzero) if values.size), default=0.0)


def _select_voxels(blocks: Callable[[], Iterable[Float32Array]], nonzero: bool) -> Iterator[Float32Array]:
    return (block[block != 0] if nonzero else block for block in blocks())


def _scale_to_zscore(values: Float32Array, zero: float, deviation: float, nonzero: bool) -> Float32Array:
    scaled: Float32Array = ((values.astype(np.float64) - zero) / deviation).astype(np.float32)
    if nonzero:
        scaled[values == 0] = 0
    return scaled
