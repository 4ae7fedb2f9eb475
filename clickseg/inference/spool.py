"""Blending window logits that are kept on disk, where a slab of them would not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickseg.arrays import Values
from clickseg.boxes import Box
from clickseg.inference.kernels import Kernels
from clickseg.inference.stitch import FLOAT_BYTES, Blocks, Planes
from clickseg.inference.windows import Window, WindowGrid
from clickseg.scratch import Scratch


@dataclass(frozen=True, slots=True)
class _Kept:
    """A window on disk.

    Attributes:
        place: The part of the volume that it covers; the axis that the volume is worked through comes first.
        part: That part in the window.
        offset: Where its logits begin in the file.
    """

    place: Box
    part: Box
    offset: int


class Spool:
    """The windows that reach planes which are not finished; a few planes of them are added up at a time.

    The same sums in the same order as in a ``Slab``, so the same bytes; each logit is written once and read once. The
    file has no name: nothing of it is left, however a run ends.
    """

    def __init__(
        self, grid: WindowGrid, weight: Values, channels: int, kernels: Kernels, *, folder: Path, planes: int
    ) -> None:
        """Opens a file.

        Args:
            grid: The windows.
            weight: Of each voxel of a window [I, J, K].
            channels: Of the logits.
            kernels: The loops over voxels.
            folder: The folder whose disk is written to.
            planes: How many planes are added up at a time.

        Raises:
            OutputError: Nothing can be written there.
        """
        self._axis = grid.axis
        self._weight = np.ascontiguousarray(np.moveaxis(weight, grid.axis, 0))
        self._kernels = kernels
        self._kept: list[_Kept] = []
        self._free: list[int] = []
        self._window_bytes = channels * weight.size * FLOAT_BYTES
        self._total = np.zeros((channels, planes, *grid.plane), dtype=np.float32)
        self._weights = np.zeros((planes, *grid.plane), dtype=np.float32)
        self._blocks = Blocks(grid, channels, planes)
        self._scratch = Scratch(folder)

    @staticmethod
    def bytes_of(grid: WindowGrid, channels: int, planes: int) -> int:
        """Returns how much memory a spool takes that adds up some planes at a time."""
        window = channels * planes * math.prod(grid.roi) // grid.roi[grid.axis]
        return (
            (2 * channels + 1) * planes * math.prod(grid.plane) + channels * math.prod(grid.plane) + window
        ) * FLOAT_BYTES

    def add(self, window: Window, logits: Values) -> None:
        """See ``Stitching``.

        Raises:
            OutputError: The disk is full.
        """
        offset = at = self._free.pop() if self._free else len(self._kept) * self._window_bytes
        for channel in np.moveaxis(logits, 1 + self._axis, 1):  # one at a time: turned, they are copied
            at = self._scratch.write(channel, at)
        self._kept.append(_Kept(_first(window.place, self._axis), _first(window.part, self._axis), offset))

    def finished(self, stop: int) -> Iterator[Planes]:
        """See ``Stitching``."""
        while self._blocks.done < stop:
            first = self._blocks.done
            count = min(self._total.shape[1], stop - first)
            for kept in self._kept:
                self._add(kept, first, first + count)
            yield self._blocks.next(count, self._divide)
        self._free += [kept.offset for kept in self._kept if kept.place[0].stop <= stop]
        self._kept = [kept for kept in self._kept if kept.place[0].stop > stop]

    def _divide(self, planes: Values) -> bool:
        return self._kernels.divide(self._total, self._weights, 0, 0, planes)

    def _add(self, kept: _Kept, first: int, stop: int) -> None:
        """Adds what a window says of some planes."""
        along = kept.place[0]
        start, end = max(along.start, first), min(along.stop, stop)
        if start >= end:
            return
        shift = kept.part[0].start - along.start
        planes = slice(start + shift, end + shift)
        at = (start - first, kept.place[1].start, kept.place[2].start)
        part = (slice(0, end - start), kept.part[1], kept.part[2])
        self._kernels.add(self._total, self._weights, self._read(kept, planes), self._weight[planes], at, part)

    def _read(self, kept: _Kept, planes: slice) -> Values:
        """Returns some planes of a window [C, N, P, Q]."""
        channels, (thickness, *plane) = len(self._total), self._weight.shape
        read = np.empty((channels, planes.stop - planes.start, *plane), dtype=np.float32)
        plane_bytes = math.prod(plane) * FLOAT_BYTES
        for channel, values in enumerate(read):
            self._scratch.read_into(values, kept.offset + (channel * thickness + planes.start) * plane_bytes)
        return read


def _first(box: Box, axis: int) -> Box:
    """Returns a box with an axis put first."""
    rest = [each for index, each in enumerate(box) if index != axis]
    return box[axis], rest[0], rest[1]
