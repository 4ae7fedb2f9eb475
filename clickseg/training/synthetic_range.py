"""What synthetic images are like, as images are that were scaled for a network: their looks, and their values."""

from __future__ import annotations

from math import sqrt

import numpy as np

from clickseg.arrays import Values
from clickseg.models.spec import ModelSpec, PercentileScaling, RangeScaling, Scaling, SquareRootScaling
from clickseg.training.synthetic import Look

_OF_ZSCORES = (-1.0, 3.0)
"""From the darkest to the brightest of most images, in standard deviations."""


def as_scaled(images: Values, spec: ModelSpec) -> Values:
    """Returns images with values from 0 to 1, one for each of a model's inputs [C, I, J, K], as these are scaled.

    Args:
        images: The images [C, I, J, K].
        spec: The model, for one modality.
    """
    limits = zip(images, ranges(spec), strict=True)
    return np.stack([image * np.float32(top - low) + np.float32(low) for image, (low, top) in limits])


def looks_of(spec: ModelSpec) -> tuple[Look, ...]:
    """Returns what each input of a model looks like, by its modality."""
    return tuple("uptake" if each.modality == "PT" else "contrast" for each in spec.inputs)


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
