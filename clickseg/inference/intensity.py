"""Scaling intensities as the model package says."""

from __future__ import annotations

import numpy as np
from typing_extensions import assert_never

from clickseg.arrays import Mask, Values
from clickseg.models.spec import PercentileScaling, RangeScaling, Scaling, SquareRootScaling, ZScoreScaling


def scale(values: Values, scaling: Scaling) -> Values:
    """Returns scaled values, float32.

    Args:
        values: A volume on the model grid, in its unit.
        scaling: What the model was trained with.
    """
    match scaling:
        case RangeScaling(a_min=low, a_max=high, b_min=to_low, b_max=to_high, clip=clip):
            return _to_range(values, low, high, to_low, to_high, clip)
        case SquareRootScaling(minimum=low, maximum=high):
            return np.sqrt(np.clip(values, np.float32(low), np.float32(high)))
        case PercentileScaling(lower=lower, upper=upper, b_min=to_low, b_max=to_high, clip=clip):
            low, high = np.percentile(values, [lower, upper])
            return _to_range(values, float(low), float(high), to_low, to_high, clip)
        case ZScoreScaling(nonzero=nonzero):
            return _to_zscore(values, values != 0 if nonzero else np.ones(values.shape, dtype=bool))
        case _:
            assert_never(scaling)


def _to_range(values: Values, low: float, high: float, to_low: float, to_high: float, clip: bool) -> Values:
    if high == low:
        return np.full_like(values, to_low)
    scaled = (values - np.float32(low)) * np.float32((to_high - to_low) / (high - low)) + np.float32(to_low)
    return np.clip(scaled, np.float32(min(to_low, to_high)), np.float32(max(to_low, to_high))) if clip else scaled


def _to_zscore(values: Values, counts: Mask) -> Values:
    scaled = values.copy()
    if counts.any():
        chosen = values[counts].astype(np.float64)
        deviation = chosen.std() or 1.0
        scaled[counts] = (chosen - chosen.mean()) / deviation
    return scaled
