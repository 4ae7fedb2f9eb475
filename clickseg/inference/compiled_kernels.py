"""The loops of ``kernels``, compiled by Numba and run by several threads; each voxel is one thread's alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from clickseg.arrays import Numbers, Values
from clickseg.boxes import Box, Triple
from clickseg.inference.kernel_cache import kept_loops
from clickseg.inference.taps import Between


class CompiledKernels:
    """The loops on several threads; how many does not show in the result."""

    def __init__(self, threads: int, cache: Path | None = None) -> None:
        """Compiles the loops, or takes them from a cache.

        Args:
            threads: How many run at once.
            cache: A folder for compiled loops; None for none.
        """
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stitch")
        self._loops = kept_loops(cache)

    def add(self, total: Values, weights: Values, logits: Values, weight: Values, at: Triple, part: Box) -> None:
        """See ``Kernels``."""
        origin = tuple(box.start for box in part)
        size = tuple(box.stop - box.start for box in part)
        self._in_parts(size[0], lambda i, end: self._loops.add_weights(weights, weight, at, origin, size, i, end))
        lines = len(total) * size[0]
        self._in_parts(lines, lambda first, stop: self._loops.add(total, logits, weight, at, origin, size, first, stop))

    def divide(self, total: Values, weights: Values, axis: int, first: int, planes: Values) -> bool:
        """See ``Kernels``."""
        box, lines = slice(first, first + len(planes)), planes.shape[1] * planes.shape[2]
        summed = np.moveaxis(weights, axis, 0)[box]
        inverse = np.float32(1) / summed
        if axis == 2:
            parts = self._in_parts(lines, lambda i, end: self._loops.divide_rows(total, inverse, planes, first, i, end))
        else:
            sums = np.moveaxis(total, 1 + axis, 0)[box]
            parts = self._in_parts(lines, lambda i, end: self._loops.divide_planes(sums, inverse, planes, i, end))
        summed[...] = 0
        return all(parts)

    def take_highest(self, best: Values, labels: Numbers, planes: Values, between: Between, numbers: Numbers) -> None:
        """See ``Kernels``."""
        lines = best.shape[0] * best.shape[1]
        self._in_parts(
            lines, lambda first, stop: self._loops.take_highest(best, labels, planes, *between, numbers, first, stop)
        )

    def take_positive(self, bits: Numbers, planes: Values, between: Between, first: int) -> None:
        """See ``Kernels``."""
        lines = bits.shape[0] * bits.shape[1]
        self._in_parts(lines, lambda start, stop: self._loops.take_positive(bits, planes, *between, first, start, stop))

    def _in_parts(self, count: int, run: Callable[[int, int], Any]) -> list[Any]:
        bounds = [count * number // self._threads for number in range(self._threads + 1)]
        parts = [self._pool.submit(run, first, stop) for first, stop in pairwise(bounds)]
        return [part.result() for part in parts]
