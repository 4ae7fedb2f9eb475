"""Synthetic values, from 0 to 1, as images are that were scaled for a network."""

from __future__ import annotations

from math import sqrt

import numpy as np

from clickseg.arrays import Values
from clickseg.models.spec import ModelSpec, PercentileScaling, RangeScaling, Scaling, SquareRootScaling

_OF_ZSCORES = (-1.0, 3.0)
"""From the darkest to the brightest of most images, in standard deviations."""


def as_scaled(image: Values, spec: ModelSpec) -> Values:
    """Returns an image [I, J, K] with values from 0 to 1 as each of a model's inputs [C, I, J, K].

    Args:
        image: The image.
        spec: The model, for one modality.
    """
    return np.stack([image * np.float32(top - low) + np.float32(low) for low, top in ranges(spec)])


def ranges(spec: ModelSpec) -> list[tuple[float, float]]:
    """Returns from where to where the scaled values of each input of a model go."""
    return [_range(each.scaling) for each in spec.inputs]


def _range(scaling: Scaling) -> tuple[float, float]:
    match scaling:
        case SquareRootScaling(minimum=low, maximum=top):
            return sqrt(low), sqrt(top)
        case RangeScaling(b_min=low, b_max=top) | PercentileScaling(b_min=low, b_max=top):
            return low, top
        case _:
            return _OF_ZSCORES
