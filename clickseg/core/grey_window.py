"""Grey windows: the range of image values that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickseg.core.arrays import Float32Array


@dataclass(frozen=True, slots=True)
class GreyWindow:
    """The range of values that a picture shows. Values outside are clipped.

    Attributes:
        lower: The lowest value.
        upper: The highest value.
        is_inverted: Whether the highest value is black, as is usual for PET.
    """

    lower: float
    upper: float
    is_inverted: bool = False


_WINDOWS = {"HU": GreyWindow(-160.0, 240.0), "SUVbw": GreyWindow(0.0, 10.0, is_inverted=True)}
_PERCENTILES = (1, 99)


def grey_window(values: Float32Array, unit: str) -> GreyWindow:
    """Returns the grey window for an image: soft tissue in CT, SUV 0 to 10 in PET, else the 1st to 99th percentile.

    Args:
        values: All values of the image, of any shape.
        unit: The unit of the values: ``HU``, ``SUVbw``, or any other.
    """
    if unit in _WINDOWS:
        return _WINDOWS[unit]
    lower, upper = np.percentile(values, _PERCENTILES)
    return GreyWindow(float(lower), float(upper))
