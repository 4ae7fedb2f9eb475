"""Blends window logits, one slab of the volume at a time: in memory (``SlabStitching``) or on disk (``DiskStitching``).

Both give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from clickseg.core.arrays import Box, Float32Array, Triple, replace_axis_range
from clickseg.core.device import HOST, Device
from clickseg.core.errors import EngineError
from clickseg.core.scratch import ScratchFile
from clickseg.inference.kernels import Kernels
from clickseg.inference.windows import Window, WindowGrid

FLOAT_BYTES = 4

_MAX_BLOCK_BYTES = 32 << 20

MAX_BLOCK_PLANES = 16
"""The largest number of planes in a block; it limits the memory of a block, and does not change the result."""

_MIN_BLOCK_PLANES_OF_LAST_AXIS = 8
"""Values of a plane across the last axis are not contiguous, and memory is fetched in lines of 16 values."""


@dataclass(frozen=True, slots=True)
class PlaneBlock:
    """Blended logits of consecutive planes of the model grid, perpendicular to ``WindowGrid.axis``.

    Attributes:
        first: The index of the first plane. In all blocks except the first, this is the last plane of the block before,
            so that every position between two planes is inside a block.
        values: Logits [N, C, P, Q], P and Q the other two axes in their order; valid until the next block.
    """

    first: int
    values: Float32Array


class Stitching(Protocol):
    """Blends the windows of a grid, which are added in grid order.

    The value of a voxel is the weighted sum of its windows, in the order in which they are added, divided by the sum of
    their weights.
    """

    def add(self, window: Window, logits: Float32Array) -> None:
        """Adds the logits [C, I, J, K] of a window."""
        ...

    def finish_planes(self, stop: int) -> Iterator[PlaneBlock]:
        """Yields the planes before ``stop``, which no later window covers, in blocks, and frees them.

        Raises:
            EngineError: A value is not a finite number; it would otherwise be treated as background.
        """
        ...


StitchingFactory = Callable[[WindowGrid, Float32Array, int, Kernels], Stitching]
"""Makes a stitching from windows, the weights of a window [I, J, K], the number of channels and kernels."""


def collect_volume(blocks: Iterable[PlaneBlock], axis: int) -> Float32Array:
    """Returns the logits [C, I, J, K] of all planes, for comparisons with methods that keep a volume in memory."""
    parts: list[Float32Array] = []
    next_plane = 0
    for block in blocks:
        parts.append(block.values[next_plane - block.first :].copy())
        next_plane = block.first + len(block.values)
    return np.moveaxis(np.concatenate(parts), [0, 1], [1 + axis, 0])


class SlabStitching:
    """Sums windows in a slab: the planes that were started and that later windows can still cover.

    The slab is a ring buffer of planes, as thick as a window, so memory does not depend on the length of the volume.
    """

    def __init__(
        self, grid: WindowGrid, weights: Float32Array, channels: int, kernels: Kernels, device: Device = HOST
    ) -> None:
        """Allocates a slab.

        Args:
            grid: The windows.
            weights: The weight of each voxel of a window [I, J, K].
            channels: The number of channels of the logits.
            kernels: The loops over voxels.
            device: The device of the logits.
        """
        self._axis = grid.axis
        self._ring_planes = grid.thickness
        shape = tuple(self._ring_planes if axis == grid.axis else count for axis, count in enumerate(grid.shape))
        self._sums = device.zeros((channels, *shape), np.float32)
        self._weight_sums = device.zeros(shape, np.float32)
        self._weights = device.put(weights)
        self._kernels = kernels
        self._block_planes = planes_per_block(grid, channels)
        self._blocks = BlockBuffer(grid, channels, self._block_planes, device)

    @staticmethod
    def bytes_needed(grid: WindowGrid, channels: int) -> int:
        """Returns the memory of a slab."""
        planes = (channels + 1) * grid.thickness + channels * (1 + planes_per_block(grid, channels))
        return planes * math.prod(grid.plane_shape) * FLOAT_BYTES

    def add(self, window: Window, logits: Float32Array) -> None:
        """See ``Stitching``."""
        for position, part in self._ring_pieces(window):
            self._kernels.add_window(self._sums, self._weight_sums, logits, self._weights, position, part)

    def finish_planes(self, stop: int) -> Iterator[PlaneBlock]:
        """See ``Stitching``."""
        while self._blocks.next_plane < stop:
            first = self._blocks.next_plane % self._ring_planes
            count = min(self._block_planes, stop - self._blocks.next_plane, self._ring_planes - first)
            yield self._blocks.next_block(count, partial(self._divide, first))

    def _divide(self, first: int, planes: Float32Array) -> bool:
        return self._kernels.divide(self._sums, self._weight_sums, self._axis, first, planes)

    def _ring_pieces(self, window: Window) -> Iterator[tuple[Triple, Box]]:
        """Yields the parts of a window with their positions in the slab: two parts if the ring wraps around inside."""
        axis, volume_box, local_box = self._axis, window.volume_box, window.local_box
        first, stop = volume_box[axis].start, volume_box[axis].stop
        seam = min(stop, (first // self._ring_planes + 1) * self._ring_planes)
        for start, end in ((first, seam), (seam, stop)):
            if start < end:
                position = [part.start for part in volume_box]
                position[axis] = start % self._ring_planes
                offset = local_box[axis].start - first
                yield (
                    (position[0], position[1], position[2]),
                    replace_axis_range(local_box, axis, slice(start + offset, end + offset)),
                )


class DiskStitching:
    """Keeps the windows of unfinished planes on disk, and sums them a few planes at a time.

    The sums and their order are the same as in ``SlabStitching``, so the bytes are the same. Each logit is written once
    and read once. The file has no name: it disappears however a run ends.
    """

    def __init__(
        self, grid: WindowGrid, weights: Float32Array, channels: int, kernels: Kernels, *, folder: Path, planes: int
    ) -> None:
        """Opens a file.

        Args:
            grid: The windows.
            weights: The weight of each voxel of a window [I, J, K].
            channels: The number of channels of the logits.
            kernels: The loops over voxels.
            folder: The folder of the file.
            planes: The number of planes that are summed at a time.

        Raises:
            OutputError: The folder is not writable.
        """
        self._axis = grid.axis
        self._weights = np.ascontiguousarray(np.moveaxis(weights, grid.axis, 0))
        self._kernels = kernels
        self._stored: list[_StoredWindow] = []
        self._free_offsets: list[int] = []
        self._window_bytes = channels * weights.size * FLOAT_BYTES
        self._sums = np.zeros((channels, planes, *grid.plane_shape), dtype=np.float32)
        self._weight_sums = np.zeros((planes, *grid.plane_shape), dtype=np.float32)
        self._blocks = BlockBuffer(grid, channels, planes)
        self._scratch = ScratchFile(folder)

    @staticmethod
    def bytes_needed(grid: WindowGrid, channels: int, planes: int) -> int:
        """Returns the memory that is needed to sum some planes at a time."""
        window = channels * planes * math.prod(grid.roi) // grid.roi[grid.axis]
        return (
            (2 * channels + 1) * planes * math.prod(grid.plane_shape) + channels * math.prod(grid.plane_shape) + window
        ) * FLOAT_BYTES

    def add(self, window: Window, logits: Float32Array) -> None:
        """See ``Stitching``.

        Raises:
            OutputError: The disk is full.
        """
        offset = self._free_offsets.pop() if self._free_offsets else len(self._stored) * self._window_bytes
        end = offset
        for channel in np.moveaxis(logits, 1 + self._axis, 1):  # one at a time, because permuted channels are copied
            end = self._scratch.write(channel, end)
        volume_box, local_box = _axis_first(window.volume_box, self._axis), _axis_first(window.local_box, self._axis)
        self._stored.append(_StoredWindow(volume_box, local_box, offset))

    def finish_planes(self, stop: int) -> Iterator[PlaneBlock]:
        """See ``Stitching``."""
        while self._blocks.next_plane < stop:
            first = self._blocks.next_plane
            count = min(self._sums.shape[1], stop - first)
            for stored in self._stored:
                self._add_stored_window(stored, first, first + count)
            yield self._blocks.next_block(count, self._divide)
        self._free_offsets += [stored.offset for stored in self._stored if stored.volume_box[0].stop <= stop]
        self._stored = [stored for stored in self._stored if stored.volume_box[0].stop > stop]

    def _divide(self, planes: Float32Array) -> bool:
        return self._kernels.divide(self._sums, self._weight_sums, 0, 0, planes)

    def _add_stored_window(self, stored: _StoredWindow, first: int, stop: int) -> None:
        """Adds the logits of a window in the planes from ``first`` to ``stop``."""
        along = stored.volume_box[0]
        start, end = max(along.start, first), min(along.stop, stop)
        if start >= end:
            return
        shift = stored.local_box[0].start - along.start
        planes = slice(start + shift, end + shift)
        position = (start - first, stored.volume_box[1].start, stored.volume_box[2].start)
        part = (slice(0, end - start), stored.local_box[1], stored.local_box[2])
        logits, weights = self._read_planes(stored, planes), self._weights[planes]
        self._kernels.add_window(self._sums, self._weight_sums, logits, weights, position, part)

    def _read_planes(self, stored: _StoredWindow, planes: slice) -> Float32Array:
        """Returns the logits of some planes of a window [C, N, P, Q]."""
        channels, (thickness, *plane) = len(self._sums), self._weights.shape
        logits = np.empty((channels, planes.stop - planes.start, *plane), dtype=np.float32)
        plane_bytes = math.prod(plane) * FLOAT_BYTES
        for channel, values in enumerate(logits):
            self._scratch.read_into(values, stored.offset + (channel * thickness + planes.start) * plane_bytes)
        return logits


@dataclass(frozen=True, slots=True)
class _StoredWindow:
    """A window on disk.

    Attributes:
        volume_box: The part of the volume that it covers; the axis along which the volume is processed comes first.
        local_box: The same part, in coordinates of the window.
        offset: The position of its logits in the file, in bytes.
    """

    volume_box: Box
    local_box: Box
    offset: int


def _axis_first(box: Box, axis: int) -> Box:
    """Returns a box with one axis moved to the front."""
    others = [part for index, part in enumerate(box) if index != axis]
    return box[axis], others[0], others[1]


class BlockBuffer:
    """Memory for blocks of finished planes; each block overwrites the one before.

    Attributes:
        next_plane: The first plane of the next block.
    """

    def __init__(self, grid: WindowGrid, channels: int, planes: int, device: Device = HOST) -> None:
        self._axis = grid.axis
        self._buffer = device.zeros((1 + planes, channels, *grid.plane_shape), np.float32)
        self._last = 0
        self.next_plane = 0

    def next_block(self, count: int, divide: Callable[[Float32Array], bool]) -> PlaneBlock:
        """Returns the next planes, preceded by the last plane of the block before.

        Args:
            count: The number of planes.
            divide: Writes the planes [N, C, P, Q], and returns whether all values are finite numbers.

        Raises:
            EngineError: A value is not a finite number.
        """
        if self.next_plane:
            self._buffer[0] = self._buffer[self._last]
        values = self._buffer[1 : 1 + count]
        if not divide(values):
            raise EngineError(
                f"the network returned values that are not finite numbers near plane {self.next_plane} of axis "
                f"{self._axis} of the model grid",
                hint="use --precision f32, whose range is larger",
            )
        previous = self.next_plane - 1
        self.next_plane += count
        self._last = count
        return PlaneBlock(0, values) if previous < 0 else PlaneBlock(previous, self._buffer[: 1 + count])


def planes_per_block(grid: WindowGrid, channels: int) -> int:
    """Returns the number of finished planes per block: as many as are fast to process together."""
    plane_bytes = channels * math.prod(grid.plane_shape) * FLOAT_BYTES
    minimum = _MIN_BLOCK_PLANES_OF_LAST_AXIS if grid.axis == len(grid.shape) - 1 else 1
    return min(max(_MAX_BLOCK_BYTES // plane_bytes - 1, minimum), MAX_BLOCK_PLANES, grid.thickness)
