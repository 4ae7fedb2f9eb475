"""Clicks at places of a series."""

from __future__ import annotations

import numpy as np

from clickseg.clicks.click import Click, Polarity
from clickseg.dicom.volume import Series


def place(series: Series, *parts: float) -> tuple[float, float, float]:
    """A place in the series, by parts of its axes."""
    index = np.array(parts) * (np.array(series.volume.spatial_shape) - 1)
    x, y, z = series.volume.map_indices_to_reference(index[np.newaxis])[0]
    return float(x), float(y), float(z)


def click(series: Series, *parts: float, polarity: Polarity = Polarity.FOREGROUND) -> Click:
    return Click("hook", polarity, place(series, *parts))
