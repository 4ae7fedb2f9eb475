"""Blending window logits, one slab of the volume at a time: in memory (``Slab``), or kept on disk (``Spool``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from clickseg.core.arrays import Box, Triple, Values
from clickseg.core.device import HOST, Device
from clickseg.core.errors import EngineError
from clickseg.core.scratch import Scratch
from clickseg.inference.kernels import Kernels
from clickseg.inference.windows import Window, WindowGrid

FLOAT_BYTES = 4

_MAX_BLOCK_BYTES = 32 << 20

MAX_BLOCK_PLANES = 16
"""How many planes are given out at once, and how much memory they take; neither shows in the result."""

_MIN_BLOCK_PLANES_OF_LAST_AXIS = 8
"""Across the last axis, values of a plane lie far from each other, and memory is fetched in pieces of 16 of them."""


@dataclass(frozen=True, slots=True)
class PlaneBlock:
    """Blended logits of some planes of the model grid.

    Attributes:
        first: The first plane along the axis that the volume is worked through; after the first block it is the last
            plane of the block before, so that every place between two planes lies in a block.
        values: Logits [N, C, P, Q], P and Q the other two axes in their order; the caller's until the next block.
    """

    first: int
    values: Values


class Stitching(Protocol):
    """Blends the windows of a grid, given in grid order.

    Each voxel is the sum of its windows in the order in which they are added, divided by the sum of their weights.
    """

    def add(self, window: Window, logits: Values) -> None:
        """Adds the logits [C, I, J, K] of a window."""
        ...

    def finish_planes(self, stop: int) -> Iterator[PlaneBlock]:
        """Yields the planes up to one that later windows may touch, in blocks, and frees them.

        Raises:
            EngineError: A value is no finite number: what is no number would be no finding.
        """
        ...


MakeStitching = Callable[[WindowGrid, Values, int, Kernels], Stitching]
"""Takes the windows, the weight of each voxel of a window [I, J, K], the channels of the logits, and the loops."""


def collected(blocks: Iterable[PlaneBlock], axis: int) -> Values:
    """Returns the logits [C, I, J, K] of all planes: for comparison with what keeps a whole volume in memory."""
    parts: list[Values] = []
    done = 0
    for block in blocks:
        parts.append(block.values[done - block.first :].copy())
        done = block.first + len(block.values)
    return np.moveaxis(np.concatenate(parts), [0, 1], [1 + axis, 0])


class Slab:
    """The sum of the windows that reach planes which later windows may touch.

    Planes are kept in a ring, as thick as a window: memory does not depend on how long the volume is.
    """

    def __init__(
        self, grid: WindowGrid, weight: Values, channels: int, kernels: Kernels, device: Device = HOST
    ) -> None:
        """Allocates a slab.

        Args:
            grid: The windows.
            weight: Of each voxel of a window [I, J, K].
            channels: Of the logits.
            kernels: The loops over voxels.
            device: Where the logits are.
        """
        self._axis = grid.axis
        self._ring = grid.thickness
        shape = tuple(self._ring if axis == grid.axis else count for axis, count in enumerate(grid.shape))
        self._total = device.zeros((channels, *shape), np.float32)
        self._weights = device.zeros(shape, np.float32)
        self._weight = device.put(weight)
        self._kernels = kernels
        self._most = planes_per_block(grid, channels)
        self._blocks = BlockBuffer(grid, channels, self._most, device)

    @staticmethod
    def bytes_needed(grid: WindowGrid, channels: int) -> int:
        """Returns how much memory a slab takes."""
        planes = (channels + 1) * grid.thickness + channels * (1 + planes_per_block(grid, channels))
        return planes * math.prod(grid.plane_shape) * FLOAT_BYTES

    def add(self, window: Window, logits: Values) -> None:
        """See ``Stitching``."""
        for at, part in self._ring_pieces(window):
            self._kernels.add_window(self._total, self._weights, logits, self._weight, at, part)

    def finish_planes(self, stop: int) -> Iterator[PlaneBlock]:
        """See ``Stitching``."""
        while self._blocks.next_plane < stop:
            at = self._blocks.next_plane % self._ring
            count = min(self._most, stop - self._blocks.next_plane, self._ring - at)
            yield self._blocks.next_block(count, partial(self._divide, at))

    def _divide(self, at: int, planes: Values) -> bool:
        return self._kernels.divide(self._total, self._weights, self._axis, at, planes)

    def _ring_pieces(self, window: Window) -> Iterator[tuple[Triple, tuple[slice, slice, slice]]]:
        """Yields where parts of a window go: one, or two where the ring begins anew in between."""
        axis, place, part = self._axis, window.place, window.local_box
        first, stop = place[axis].start, place[axis].stop
        seam = min(stop, (first // self._ring + 1) * self._ring)
        for start, end in ((first, seam), (seam, stop)):
            if start < end:
                at = [box.start for box in place]
                at[axis] = start % self._ring
                offset = part[axis].start - first
                taken = list(part)
                taken[axis] = slice(start + offset, end + offset)
                yield (at[0], at[1], at[2]), (taken[0], taken[1], taken[2])


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
        self._kept: list[_StoredWindow] = []
        self._free: list[int] = []
        self._window_bytes = channels * weight.size * FLOAT_BYTES
        self._total = np.zeros((channels, planes, *grid.plane_shape), dtype=np.float32)
        self._weights = np.zeros((planes, *grid.plane_shape), dtype=np.float32)
        self._blocks = BlockBuffer(grid, channels, planes)
        self._scratch = Scratch(folder)

    @staticmethod
    def bytes_needed(grid: WindowGrid, channels: int, planes: int) -> int:
        """Returns how much memory a spool takes that adds up some planes at a time."""
        window = channels * planes * math.prod(grid.roi) // grid.roi[grid.axis]
        return (
            (2 * channels + 1) * planes * math.prod(grid.plane_shape) + channels * math.prod(grid.plane_shape) + window
        ) * FLOAT_BYTES

    def add(self, window: Window, logits: Values) -> None:
        """See ``Stitching``.

        Raises:
            OutputError: The disk is full.
        """
        offset = at = self._free.pop() if self._free else len(self._kept) * self._window_bytes
        for channel in np.moveaxis(logits, 1 + self._axis, 1):  # one at a time: turned, they are copied
            at = self._scratch.write(channel, at)
        self._kept.append(_StoredWindow(_axis_first(window.place, self._axis), _axis_first(window.local_box, self._axis), offset))

    def finish_planes(self, stop: int) -> Iterator[PlaneBlock]:
        """See ``Stitching``."""
        while self._blocks.next_plane < stop:
            first = self._blocks.next_plane
            count = min(self._total.shape[1], stop - first)
            for kept in self._kept:
                self._add_stored_window(kept, first, first + count)
            yield self._blocks.next_block(count, self._divide)
        self._free += [kept.offset for kept in self._kept if kept.volume_box[0].stop <= stop]
        self._kept = [kept for kept in self._kept if kept.volume_box[0].stop > stop]

    def _divide(self, planes: Values) -> bool:
        return self._kernels.divide(self._total, self._weights, 0, 0, planes)

    def _add_stored_window(self, kept: _StoredWindow, first: int, stop: int) -> None:
        """Adds what a window says of some planes."""
        along = kept.volume_box[0]
        start, end = max(along.start, first), min(along.stop, stop)
        if start >= end:
            return
        shift = kept.local_box[0].start - along.start
        planes = slice(start + shift, end + shift)
        at = (start - first, kept.volume_box[1].start, kept.volume_box[2].start)
        part = (slice(0, end - start), kept.local_box[1], kept.local_box[2])
        self._kernels.add_window(self._total, self._weights, self._read_planes(kept, planes), self._weight[planes], at, part)

    def _read_planes(self, kept: _StoredWindow, planes: slice) -> Values:
        """Returns some planes of a window [C, N, P, Q]."""
        channels, (thickness, *plane) = len(self._total), self._weight.shape
        read = np.empty((channels, planes.stop - planes.start, *plane), dtype=np.float32)
        plane_bytes = math.prod(plane) * FLOAT_BYTES
        for channel, values in enumerate(read):
            self._scratch.read_into(values, kept.offset + (channel * thickness + planes.start) * plane_bytes)
        return read


@dataclass(frozen=True, slots=True)
class _StoredWindow:
    """A window on disk.

    Attributes:
        place: The part of the volume that it covers; the axis that the volume is worked through comes first.
        part: That part in the window.
        offset: Where its logits begin in the file.
    """

    volume_box: Box
    local_box: Box
    offset: int


def _axis_first(box: Box, axis: int) -> Box:
    """Returns a box with an axis put first."""
    rest = [each for index, each in enumerate(box) if index != axis]
    return box[axis], rest[0], rest[1]


class BlockBuffer:
    """Blocks of finished planes, in memory that each block takes over from the one before.

    Attributes:
        done: The first plane that was not given out.
    """

    def __init__(self, grid: WindowGrid, channels: int, planes: int, device: Device = HOST) -> None:
        self._axis = grid.axis
        self._buffer = device.zeros((1 + planes, channels, *grid.plane_shape), np.float32)
        self._last = 0
        self.next_plane = 0

    def next_block(self, count: int, divide: Callable[[Values], bool]) -> PlaneBlock:
        """Returns the next planes, after the last one of the block before.

        Args:
            count: How many.
            divide: Writes them [N, C, P, Q], and says whether all of them are finite numbers.

        Raises:
            EngineError: They are not.
        """
        if self.next_plane:
            self._buffer[0] = self._buffer[self._last]
        block = self._buffer[1 : 1 + count]
        if not divide(block):
            raise EngineError(
                f"the network gives values that are no finite numbers by plane {self.next_plane} of axis {self._axis}",
                hint="--precision f32 does not overflow",
            )
        made = PlaneBlock(self.next_plane - 1, self._buffer[: 1 + count]) if self.next_plane else PlaneBlock(0, block)
        self.next_plane += count
        self._last = count
        return made


def planes_per_block(grid: WindowGrid, channels: int) -> int:
    """Returns how many finished planes are given out together: as many as are quickly worked on."""
    plane_bytes = channels * math.prod(grid.plane_shape) * FLOAT_BYTES
    fewest = _MIN_BLOCK_PLANES_OF_LAST_AXIS if grid.axis == len(grid.shape) - 1 else 1
    return min(max(_MAX_BLOCK_BYTES // plane_bytes - 1, fewest), MAX_BLOCK_PLANES, grid.thickness)
