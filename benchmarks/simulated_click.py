"""One simulated click into the largest error of 400 x 400 x 326 voxels, against SciPy's distance transform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from benchmarks.table import Row, publish
from clickseg.clicks.simulated.clicker import Choice, Clicker
from clickseg.core.arrays import Mask

_SHAPE = (400, 400, 326)
_REPEATS = 5
_SPACING_MM = (2.04, 2.04, 3.0)


def run(_: Path) -> None:
    """Measures, prints and keeps the table."""
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=_SHAPE).astype(np.float32), 6)
    masks = {"one organ": _ball(), "many regions": field > np.quantile(field[::4, ::4, ::4], 0.97)}
    rows = [_row(name, mask) for name, mask in masks.items()]
    publish(
        "simulated_click", f"One simulated click, {' x '.join(map(str, _SHAPE))} voxels, median of {_REPEATS}", rows
    )


def _ball() -> Mask:
    axes = np.ogrid[tuple(slice(count) for count in _SHAPE)]
    squares = [((axis - count * 0.4) / 45) ** 2 for axis, count in zip(axes, _SHAPE, strict=True)]
    return np.asarray(squares[0] + squares[1] + squares[2] < 1)


def _row(name: str, mask: Mask) -> Row:
    clicker, nothing = Clicker(Choice.LARGEST, _SPACING_MM), np.zeros(_SHAPE, bool)
    ours = _seconds(lambda: clicker.largest_error(mask, nothing, np.random.default_rng(0)), _REPEATS)
    theirs = _seconds(lambda: distance_transform_edt(mask, _SPACING_MM), 1)
    return {
        "errors": name,
        "voxels": float(mask.sum()),
        "ClickSeg s": round(ours, 3),
        "SciPy's distance transform s": round(theirs, 2),
        "times less": round(theirs / ours, 1),
    }


def _seconds(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return median(seconds)
