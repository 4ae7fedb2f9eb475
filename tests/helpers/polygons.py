"""The judge of polygons: it walks around each pixel and adds up the angles."""

from __future__ import annotations

import numpy as np

STAR = np.array([[1.3, 2.2], [6.1, 9.7], [2.4, 5.1], [8.3, 3.6], [7.2, 11.4]])


def wound(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Whether a polygon winds around each pixel an odd number of times."""
    pixels = np.indices(shape).reshape(2, -1).T
    towards = np.arctan2(*(polygon[None] - pixels[:, None]).transpose(2, 0, 1))
    turned = (np.roll(towards, -1, axis=1) - towards + np.pi) % (2 * np.pi) - np.pi
    return (np.rint(turned.sum(axis=1) / (2 * np.pi)).astype(int) % 2 == 1).reshape(shape)
