"""One simulated click in the largest error of 400 x 400 x 326 voxels, compared with SciPy's distance transform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from benchmarks.table import Row, publish
from clickseg.clicks.simulated.clicker import Clicker, VoxelChoice
from clickseg.core.arrays import Mask

_SHAPE = (400, 400, 326)
_REPEATS = 5
_SPACING_MM = (2.04, 2.04, 3.0)


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=_SHAPE).astype(np.float32), 6)
    masks = {"one organ": _ball(), "many regions": field > np.quantile(field[::4, ::4, ::4], 0.97)}
    rows = [_row(name, mask) for name, mask in masks.items()]
    publish(
        "simulated_click", f"One simulated click, {' x '.join(map(str, _SHAPE))} voxels, median of {_REPEATS}", rows
    )


def _ball() -> Mask:
    axes = np.ogrid[tuple(slice(size) for size in _SHAPE)]
    squares = [((axis - size * 0.4) / 45) ** 2 for axis, size in zip(axes, _SHAPE, strict=True)]
    return np.asarray(squares[0] + squares[1] + squares[2] < 1)


def _row(name: str, mask: Mask) -> Row:
    clicker, empty = Clicker(VoxelChoice.LARGEST, _SPACING_MM), np.zeros(_SHAPE, bool)
    clickseg_s = _median_seconds(lambda: clicker.largest_error_click(mask, empty, np.random.default_rng(0)), _REPEATS)
    scipy_s = _median_seconds(lambda: distance_transform_edt(mask, _SPACING_MM), 1)
    return {
        "error mask": name,
        "voxels": float(mask.sum()),
        "ClickSeg s": round(clickseg_s, 3),
        "SciPy's distance transform s": round(scipy_s, 2),
        "speed-up over SciPy": round(scipy_s / clickseg_s, 1),
    }


def _median_seconds(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        function()
        seconds.append(perf_counter() - start)
    return median(seconds)
