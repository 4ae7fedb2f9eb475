"""The network input of incremental inference: a digest for each window, the windows that a change affects, and masks.

Masks are the result of the previous clicks, as input of a model with a previous mask; they are stored by these clicks.
"""

from __future__ import annotations

import functools
import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.clicks.click import Click, Clicks, ClickSequence
from clickseg.core.arrays import IndexArray, Mask, Triple, bounding_box, intersects, mask_bounds
from clickseg.core.checksum_folder import ChecksumFolder
from clickseg.core.label_map import LabelMap
from clickseg.inference.guidance import rasterize_clicks, voxels_inside
from clickseg.inference.model_input import ModelInput
from clickseg.inference.windows import Window, WindowGrid
from clickseg.models.spec import GuidanceSpec, ModelSpec

WindowKeys = Mapping[Triple, bytes]
"""A digest of clicks and masks for each window, by its first voxel; the images of a session never change."""

Masks = tuple[Mask, ...]
"""The mask of each mask channel [I, J, K] on the model grid."""

EMPTY_KEY = b""
"""The key of a window without clicks and without mask voxels."""

_MAX_STORED_MASKS = 64
"""The number of click sequences whose masks are stored; older masks are recomputed from those before them."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """The input of a network: one value, so that its parts belong to the same clicks even after an interruption.

    Attributes:
        points: The clicks.
        inputs: Images, clicks and masks on the model grid.
        keys: The digest of clicks and masks in each window.
    """

    points: ClickSequence
    inputs: ModelInput
    keys: WindowKeys


def empty_keys(grid: WindowGrid) -> WindowKeys:
    """Returns the keys of windows without clicks and without mask voxels."""
    return {window.start: EMPTY_KEY for window in grid}


def window_key(window: Window, inputs: ModelInput) -> bytes:
    """Returns the key of a window: a digest of the clicks and masks inside it."""
    balls = [_unique_voxels(voxels_inside(ball - window.start, window.roi), window.roi) for ball in inputs.click_voxels]
    masks = [mask[window.volume_box] for mask in inputs.masks]
    if not any(len(ball) for ball in balls) and not any(mask.any() for mask in masks):
        return EMPTY_KEY
    digest = hashlib.blake2b(digest_size=16)
    for ball in balls:
        digest.update(len(ball).to_bytes(8, "little") + ball.tobytes())
    for mask in masks:
        digest.update(np.packbits(mask).tobytes())
    return digest.digest()


def _unique_voxels(voxels: IndexArray, shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Returns the unique voxels [N, 3] of a window in lexicographic order, as int32.

    Uses flat indices: ``np.unique(axis=0)`` compares records, and turns an interruption into a ``TypeError``.
    """
    flat = np.unique(np.ravel_multi_index(tuple(voxels.T), shape))
    return np.stack(np.unravel_index(flat, shape), axis=-1).astype(np.int32)


def windows_with_changed_clicks(
    before: Iterable[Click], after: Iterable[Click], grid: WindowGrid, geometry: hd.VolumeGeometry, spec: GuidanceSpec
) -> tuple[Window, ...]:
    """Returns the windows, in grid order, that contain a ball voxel of an added or removed click."""
    old, new = Counter(before), Counter(after)
    changed = rasterize_clicks([*(old - new), *(new - old)], geometry, spec)
    return grid.windows_containing(np.concatenate(changed))


def windows_with_changed_mask(before: Masks, after: Masks, grid: WindowGrid) -> tuple[Window, ...]:
    """Returns the windows, in grid order, in which masks [I, J, K] differ."""
    differences = [old != new for old, new in zip(before, after, strict=True) if old is not new]
    bounds = [box for box in map(mask_bounds, differences) if box is not None]
    if not bounds:
        return ()
    box = bounding_box(bounds)
    near = (window for window in grid if intersects(window.volume_box, box))
    return tuple(window for window in near if any(difference[window.volume_box].any() for difference in differences))


def mask_channels(labels: LabelMap, spec: ModelSpec) -> Masks:
    """Returns the mask channels of a model for a label map [I, J, K] on the model grid."""
    numbers = {class_spec.name: number for number, class_spec in enumerate(spec.classes, 1)}
    return tuple(
        functools.reduce(np.logical_or, (labels.mask(numbers[name]) for name in channel.takes))
        for channel in spec.previous_mask
    )


def empty_masks(shape: Triple, spec: ModelSpec) -> Masks:
    """Returns the mask channels of the first run."""
    return (np.broadcast_to(np.False_, shape),) * len(spec.previous_mask)


class MaskStore:
    """Compressed masks by the clicks that they were computed with: in memory, or in the folder of a session.

    Attributes:
        last: The masks that were stored last, uncompressed: in most cases, they are requested next.
    """

    def __init__(self, shape: Triple, folder: Path | None, session_digest: bytes) -> None:
        """Opens the store of a folder, or an empty store in memory.

        Args:
            shape: The model grid [I, J, K].
            folder: The folder in which the next process finds the masks; None to keep them in memory.
            session_digest: A digest of everything that the masks depend on, except the clicks.

        Raises:
            OutputError: The folder cannot be created.
        """
        self._shape = shape
        self._files = ChecksumFolder(folder, session_digest) if folder else None
        self._in_memory: dict[str, bytes] = {}
        self._last_name = ""
        self.last: Masks = ()

    def get(self, points: ClickSequence, count: int) -> Masks | None:
        """Returns the masks that were computed with some clicks; None if they are not stored, or damaged.

        Args:
            points: The clicks.
            count: The number of mask channels.
        """
        name = _file_name(points)
        if name == self._last_name:
            return self.last
        if self._files:
            compressed = self._files.read(name, self._max_compressed_bytes(count))
        else:
            compressed = self._in_memory.get(name)
        return None if compressed is None else self._decompress(compressed, count)

    def put(self, points: ClickSequence, masks: Sequence[Mask]) -> None:
        """Stores the masks that were computed with some clicks.

        Raises:
            OutputError: The disk is full.
        """
        name = _file_name(points)
        compressed = zlib.compress(b"".join(np.packbits(mask).tobytes() for mask in masks), level=1)
        if self._files:
            self._files.write(name, compressed)
            self._remove_old_files(self._files)
        else:
            self._in_memory.pop(name, None)
            self._in_memory[name] = compressed
            while len(self._in_memory) > _MAX_STORED_MASKS:
                del self._in_memory[next(iter(self._in_memory))]
        self._last_name, self.last = name, tuple(masks)

    def _remove_old_files(self, files: ChecksumFolder) -> None:
        for name in files.names_from_oldest("*.mask")[:-_MAX_STORED_MASKS]:
            files.remove(name)

    def _packed_bytes(self, count: int) -> int:
        return count * -(-math.prod(self._shape) // 8)

    def _max_compressed_bytes(self, count: int) -> int:
        """Returns the maximum size of compressed masks: ``zlib`` can make them slightly larger."""
        return self._packed_bytes(count) * 101 // 100 + 1000

    def _decompress(self, compressed: bytes, count: int) -> Masks | None:
        """Returns masks; None if the data are not masks of this grid. Decompresses at most one byte too many."""
        size = self._packed_bytes(count)
        try:
            packed = zlib.decompressobj().decompress(compressed, size + 1)
        except zlib.error:
            return None
        if len(packed) != size:
            return None
        channels = np.frombuffer(packed, np.uint8).reshape(count, -1)
        return tuple(np.unpackbits(c, count=math.prod(self._shape)).view(bool).reshape(self._shape) for c in channels)


def _file_name(points: ClickSequence) -> str:
    return f"{Clicks(points).digest or 'none'}.mask"
