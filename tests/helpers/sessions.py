"""Clicks at relative positions in a series, and the description of a model that takes them."""

from __future__ import annotations

import numpy as np

from clickseg.clicks.click import Click, Polarity
from clickseg.dicom.volume import SeriesVolume
from tests.helpers import phantoms


def position_in(series: SeriesVolume, *fractions: float) -> tuple[float, float, float]:
    """Returns a position in LPS mm, from fractions (0 to 1) of the axes [K, J, I] of a series."""
    index = np.array(fractions) * (np.array(series.volume.spatial_shape) - 1)
    x, y, z = series.volume.map_indices_to_reference(index[np.newaxis])[0]
    return float(x), float(y), float(z)


def click_at(series: SeriesVolume, *fractions: float, polarity: Polarity = Polarity.FOREGROUND) -> Click:
    """Returns a click on the class ``hook``; see ``position_in``."""
    return Click("hook", polarity, position_in(series, *fractions))


def model_description(**changes: object) -> dict[str, object]:
    """Returns the description of a model with overlapping windows and a model grid other than the source grid."""
    return phantoms.metadata(
        **{
            "window": {"roi": [8, 8, 8], "overlap": 0.25},
            "grid": {"spacing_mm": [1.6, 1.8, 3.3], "orientation": "RAS"},
            "guidance": phantoms.GUIDANCE,
            **changes,
        }
    )
