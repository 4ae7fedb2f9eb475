"""How far what was found is what is there, for one class.

Nothing found where nothing is there is perfect: Dice and NSD are 1. Something found there is not: both are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import ndimage

from clickseg.arrays import Mask

NEIGHBOURS: Final = ndimage.generate_binary_structure(3, 2)
"""Voxels of one component share an edge: as the autoPET challenges have it."""


def dice(truth: Mask, found: Mask) -> float:
    """Returns the Dice coefficient of two masks."""
    voxels = int(np.count_nonzero(truth)) + int(np.count_nonzero(found))
    return 2 * int(np.count_nonzero(truth & found)) / voxels if voxels else 1.0


def false_positive_ml(truth: Mask, found: Mask, voxel_ml: float) -> float:
    """Returns the volume of the components of what was found that lie in nothing that is there (autoPET).

    Args:
        truth: What is there.
        found: What was found.
        voxel_ml: The volume of a voxel.
    """
    return _untouched(found, truth) * voxel_ml


def false_negative_ml(truth: Mask, found: Mask, voxel_ml: float) -> float:
    """Returns the volume of the components of what is there of which nothing was found (autoPET)."""
    return _untouched(truth, found) * voxel_ml


def area_under(values: Sequence[float]) -> float:
    """Returns the area under a curve of one value for each click, by the trapezoidal rule, over its width.

    So it is what the values are on average: from 0 to 1 for coefficients. A curve of one value is that value.
    """
    return float(np.trapezoid(values)) / (len(values) - 1) if len(values) > 1 else float(values[0])


def _untouched(components_of: Mask, other: Mask) -> int:
    """Returns how many voxels the components of a mask have in which no voxel of the other one lies."""
    numbers, count = ndimage.label(components_of, NEIGHBOURS)
    voxels = np.bincount(numbers[components_of], minlength=count + 1)
    voxels[np.unique(numbers[components_of & other])] = 0
    return int(voxels.sum())
