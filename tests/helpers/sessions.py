"""Clicks at places of a series, and models that take them."""

from __future__ import annotations

import numpy as np

from clickseg.clicks.click import Click, Polarity
from clickseg.dicom.volume import Series
from tests.helpers import phantoms


def place(series: Series, *parts: float) -> tuple[float, float, float]:
    """A place in the series, by parts of its axes."""
    index = np.array(parts) * (np.array(series.volume.spatial_shape) - 1)
    x, y, z = series.volume.map_indices_to_reference(index[np.newaxis])[0]
    return float(x), float(y), float(z)


def click(series: Series, *parts: float, polarity: Polarity = Polarity.FOREGROUND) -> Click:
    return Click("hook", polarity, place(series, *parts))


def section(**changes: object) -> dict[str, object]:
    """The section of a package whose windows overlap, on a grid of its own."""
    return phantoms.metadata(
        **{
            "window": {"roi": [8, 8, 8], "overlap": 0.25},
            "grid": {"spacing_mm": [1.6, 1.8, 3.3], "orientation": "RAS"},
            "guidance": phantoms.GUIDANCE,
            **changes,
        }
    )
