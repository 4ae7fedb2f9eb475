"""A reference rasterization of polygons: it adds up the angles around each pixel."""

from __future__ import annotations

import numpy as np

STAR = np.array([[1.3, 2.2], [6.1, 9.7], [2.4, 5.1], [8.3, 3.6], [7.2, 11.4]])


def winding_mask(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns the pixels around which a polygon winds an odd number of times."""
    pixels = np.indices(shape).reshape(2, -1).T
    directions = np.arctan2(*(polygon[None] - pixels[:, None]).transpose(2, 0, 1))
    angles = (np.roll(directions, -1, axis=1) - directions + np.pi) % (2 * np.pi) - np.pi
    return (np.rint(angles.sum(axis=1) / (2 * np.pi)).astype(int) % 2 == 1).reshape(shape)
