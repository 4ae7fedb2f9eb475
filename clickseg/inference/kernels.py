"""The loops over voxels: what they do, how NumPy does it, and the choice between NumPy and Numba.

``compiled`` runs the same loops by Numba, where there is enough to do: the same operations on float32 in the same
order, so the same bytes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from clickseg.core.arrays import Box, Numbers, Triple, Values
from clickseg.core.machine import processor_count
from clickseg.inference.resample import Neighbours, lerp

_MIN_ADDITIONS_TO_COMPILE = 1 << 27
"""Additions of a logit from which on compiling takes less time than it saves."""


class Kernels(Protocol):
    """The loops over voxels."""

    def add_window(self, total: Values, weights: Values, logits: Values, weight: Values, at: Triple, part: Box) -> None:
        """Adds weighted logits of a window to a sum, and its weights to theirs.

        Args:
            total: [C, I, J, K]; changed.
            weights: [I, J, K]; changed.
            logits: Of one window, [C, I, J, K].
            weight: Of each voxel of a window, [I, J, K].
            at: Where in ``total`` the part belongs.
            part: The part of the window that is added.
        """
        ...

    def divide(self, total: Values, weights: Values, axis: int, first: int, planes: Values) -> bool:
        """Writes planes of means, and sets the sums that they are made from to 0.

        Args:
            total: Sums of weighted logits [C, I, J, K]; changed.
            weights: Sums of weights [I, J, K]; changed.
            axis: The axis that the planes are across.
            first: The first plane along that axis.
            planes: [N, C, P, Q]; written.

        Returns:
            Whether all of them are finite numbers.
        """
        ...

    def argmax(self, best: Values, labels: Numbers, planes: Values, between: Neighbours, numbers: Numbers) -> None:
        """Decides planes of the source grid by the highest logit, the first of equal ones.

        Args:
            best: The highest logit of earlier channels [N, R, S]; changed.
            labels: Its number [N, R, S]; changed.
            planes: Of the model grid, [M, C, P, Q].
            between: Where the N x R x S voxels lie.
            numbers: The number of each channel.
        """
        ...

    def threshold(self, bits: Numbers, planes: Values, between: Neighbours, first: int) -> None:
        """Sets, in planes of the source grid, the bit of each channel whose logit is above 0.

        Args:
            bits: [N, R, S, bytes]; changed.
            planes: Of the model grid, [M, C, P, Q].
            between: Where the N x R x S voxels lie.
            first: The bit of the first channel.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlainKernels:
    """NumPy alone: nothing to compile, and slower; and the same operations on a GPU by CuPy, which takes NumPy's calls.

    How planes lie between planes (``between.planes``) is on the host, all else where the arrays are.
    """

    def add_window(self, total: Values, weights: Values, logits: Values, weight: Values, at: Triple, part: Box) -> None:
        """See ``Kernels``."""
        place = tuple(slice(start, start + box.stop - box.start) for start, box in zip(at, part, strict=True))
        weights[place] += weight[part]
        total[(slice(None), *place)] += logits[(slice(None), *part)] * weight[part]

    def divide(self, total: Values, weights: Values, axis: int, first: int, planes: Values) -> bool:
        """See ``Kernels``."""
        box = slice(first, first + len(planes))
        sums, summed = np.moveaxis(total, 1 + axis, 0)[box], np.moveaxis(weights, axis, 0)[box, None]
        np.multiply(sums, np.float32(1) / summed, out=planes)
        sums[...] = 0
        summed[...] = 0
        return bool(np.isfinite(planes).all())

    def argmax(self, best: Values, labels: Numbers, planes: Values, between: Neighbours, numbers: Numbers) -> None:
        """See ``Kernels``."""
        for number, logits in enumerate(_interpolate_planes(planes, between)):
            chosen, highest, before = logits.argmax(axis=0), logits.max(axis=0), best[number]
            labels[number] = np.where(highest > before, numbers[chosen], labels[number])
            np.maximum(before, highest, out=before)

    def threshold(self, bits: Numbers, planes: Values, between: Neighbours, first: int) -> None:
        """See ``Kernels``."""
        for number, logits in enumerate(_interpolate_planes(planes, between)):
            for bit, values in enumerate(logits, first):
                bits[number, ..., bit // 8] |= (values > 0).astype(np.uint8) << np.uint8(bit % 8)


def _interpolate_planes(planes: Values, between: Neighbours) -> Iterator[Values]:
    """Yields planes [C, R, S] between planes [C, P, Q]: first across them, then along rows and columns."""
    rows, columns = between.rows, between.columns
    for lower, upper, weight in zip(*between.planes, strict=True):
        plane = lerp(planes[lower], planes[upper], weight)
        plane = lerp(plane[:, rows.lower], plane[:, rows.upper], rows.weight[:, np.newaxis])
        yield lerp(plane[..., columns.lower], plane[..., columns.upper], columns.weight)


class KernelChoice:
    """The kernels for one job after another; they are compiled once, for the first that is large enough."""

    def __init__(self, cache: Path | None = None) -> None:
        """Compiles nothing yet.

        Args:
            cache: A folder for compiled loops; None for none.
        """
        self._cache = cache
        self._compiled: Kernels | None = None

    def __call__(self, additions: int) -> Kernels:
        """Returns the kernels for a job; the result has the same bytes with any.

        Args:
            additions: How many logits will be added.
        """
        if additions < _MIN_ADDITIONS_TO_COMPILE or importlib.util.find_spec("numba") is None:
            return PlainKernels()
        if self._compiled is None:
            from clickseg.inference.compiled import CompiledKernels

            self._compiled = CompiledKernels(processor_count(), self._cache)
        return self._compiled
