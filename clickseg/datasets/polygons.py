"""Voxels inside of polygons in a plane, by the even-odd rule: a contour within a contour is a hole."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from clickseg.arrays import Doubles, Mask


def inside(polygons: Iterable[Doubles], shape: tuple[int, int]) -> Mask:
    """Returns the pixels [J, I] whose centres lie in an odd number of closed polygons.

    Along a row, each edge that crosses it turns inside to outside for all pixels from there on.

    Args:
        polygons: Corners [N, 2] as row and column, where whole numbers are the centres of pixels.
        shape: Rows and columns.
    """
    turns = np.zeros((shape[0], shape[1] + 1), np.uint32)
    for corners in polygons:
        for (row, column), (next_row, next_column) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            low, high = np.clip(np.ceil(np.sort([row, next_row])), 0, shape[0]).astype(int)
            rows = np.arange(low, high)  # of two edges that meet on a row, one counts there
            if rows.size:
                crossed = column + (rows - row) * (next_column - column) / (next_row - row)
                turns[rows, np.clip(np.ceil(crossed), 0, shape[1]).astype(int)] += 1
    within: Mask = (np.cumsum(turns[:, :-1], axis=1) % 2).astype(bool)
    return within
