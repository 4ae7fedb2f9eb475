"""What the network is given click by click: a digest for each window, the windows that a change touches, and masks.

Masks show a model its own result after the clicks before; they are kept by these clicks.
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

from clickseg.clicks.click import Click, Clicks, Points
from clickseg.core.arrays import Indices, Mask, Triple, around, bounds_of, meet
from clickseg.core.label_map import LabelMap
from clickseg.core.sealed import SealedFolder
from clickseg.inference.guidance import balls, inside
from clickseg.inference.model_input import ModelInput
from clickseg.inference.windows import Window, WindowGrid
from clickseg.models.spec import GuidanceSpec, ModelSpec

Keys = Mapping[Triple, bytes]
"""For each window, by its first voxel, a digest of its clicks and masks; the images of a session never change."""

Masks = tuple[Mask, ...]
"""For each mask channel the voxels [I, J, K] of the model grid that are 1."""

EMPTY = b""
"""The key of a window without clicks and without mask voxels."""

_KEPT = 64
"""After how many different clicks masks are kept; older ones are made again from those before them."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """The input of a network: one value, so that its parts belong to the same clicks wherever work is interrupted.

    Attributes:
        points: The clicks.
        inputs: Images, clicks and masks on the model grid.
        keys: The digest of clicks and masks in each window.
    """

    points: Points
    inputs: ModelInput
    keys: Keys


def empty_keys(grid: WindowGrid) -> Keys:
    """Returns the keys of windows without clicks and without mask voxels."""
    return {window.start: EMPTY for window in grid}


def key_of(window: Window, inputs: ModelInput) -> bytes:
    """Returns the key of a window."""
    voxels = [_distinct(inside(each - window.start, window.roi), window.roi) for each in inputs.balls]
    masks = [mask[window.place] for mask in inputs.masks]
    if not any(len(each) for each in voxels) and not any(mask.any() for mask in masks):
        return EMPTY
    digest = hashlib.blake2b(digest_size=16)
    for each in voxels:
        digest.update(len(each).to_bytes(8, "little") + each.tobytes())
    for mask in masks:
        digest.update(np.packbits(mask).tobytes())
    return digest.digest()


def _distinct(voxels: Indices, shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Returns the distinct voxels [N, 3] of a window in lexicographic order, as int32.

    By flat indices: ``np.unique(axis=0)`` compares records, and makes a ``TypeError`` of an interruption meanwhile.
    """
    flat = np.unique(np.ravel_multi_index(tuple(voxels.T), shape))
    return np.stack(np.unravel_index(flat, shape), axis=-1).astype(np.int32)


def windows_with_changed_clicks(
    before: Iterable[Click], after: Iterable[Click], grid: WindowGrid, geometry: hd.VolumeGeometry, spec: GuidanceSpec
) -> tuple[Window, ...]:
    """Returns the windows, in grid order, that hold a voxel of a click that came or went."""
    had, has = Counter(before), Counter(after)
    changed = balls([*(had - has), *(has - had)], geometry, spec)
    return grid.holding(np.concatenate(changed))


def windows_with_changed_mask(before: Masks, after: Masks, grid: WindowGrid) -> tuple[Window, ...]:
    """Returns the windows, in grid order, in which masks [I, J, K] differ."""
    differs = [one != other for one, other in zip(before, after, strict=True) if one is not other]
    bounds = [box for box in map(bounds_of, differs) if box is not None]
    if not bounds:
        return ()
    box = around(bounds)
    near = (window for window in grid if meet(window.place, box))
    return tuple(window for window in near if any(each[window.place].any() for each in differs))


def masks_of(labels: LabelMap, spec: ModelSpec) -> Masks:
    """Returns what the mask channels of a model show of a label map [I, J, K] on the model grid."""
    numbers = {each.name: number for number, each in enumerate(spec.classes, 1)}
    return tuple(
        functools.reduce(np.logical_or, (labels.mask(numbers[name]) for name in channel.takes))
        for channel in spec.previous_mask
    )


def empty_masks(shape: Triple, spec: ModelSpec) -> Masks:
    """Returns the masks before the first run."""
    return (np.broadcast_to(np.False_, shape),) * len(spec.previous_mask)


class KeptMasks:
    """Masks by the clicks after which they were made, compressed: in memory, or in a folder of the session.

    Attributes:
        last: Those that were put last, as they are: mostly they are asked for next.
    """

    def __init__(self, shape: Triple, folder: Path | None, session: bytes) -> None:
        """Is empty, or holds what the folder holds.

        Args:
            shape: The model grid [I, J, K].
            folder: Where they are left to the next process; None where none goes on with them.
            session: A digest of all that they depend on, but for the clicks.

        Raises:
            OutputError: The folder cannot be made.
        """
        self._shape = shape
        self._files = SealedFolder(folder, session) if folder else None
        self._here: dict[str, bytes] = {}
        self._last_name = ""
        self.last: Masks = ()

    def get(self, points: Points, count: int) -> Masks | None:
        """Returns the masks that were made with some clicks; None where they are not known.

        Args:
            points: The clicks.
            count: How many mask channels there are.
        """
        name = _name(points)
        if name == self._last_name:
            return self.last
        kept = self._files.read(name, self._most_bytes(count)) if self._files else self._here.get(name)
        return None if kept is None else self._unpacked(kept, count)

    def put(self, points: Points, masks: Sequence[Mask]) -> None:
        """Takes the masks that were made with some clicks.

        Raises:
            OutputError: The disk is full.
        """
        name, packed = _name(points), zlib.compress(b"".join(np.packbits(each).tobytes() for each in masks), level=1)
        if self._files:
            self._files.write(name, packed)
            self._forget_files(self._files)
        else:
            self._here.pop(name, None)
            self._here[name] = packed
            while len(self._here) > _KEPT:
                del self._here[next(iter(self._here))]
        self._last_name, self.last = name, tuple(masks)

    def _forget_files(self, files: SealedFolder) -> None:
        for name in files.oldest_first("*.mask")[:-_KEPT]:
            files.remove(name)

    def _packed_bytes(self, count: int) -> int:
        return count * -(-math.prod(self._shape) // 8)

    def _most_bytes(self, count: int) -> int:
        """Returns how long what ``zlib`` makes of masks may be: a little longer than they are."""
        return self._packed_bytes(count) * 101 // 100 + 1000

    def _unpacked(self, kept: bytes, count: int) -> Masks | None:
        """Returns masks; None where these are none of this grid. However much they unpack to, no more is unpacked."""
        size = self._packed_bytes(count)
        try:
            packed = zlib.decompressobj().decompress(kept, size + 1)
        except zlib.error:
            return None
        if len(packed) != size:
            return None
        channels = np.frombuffer(packed, np.uint8).reshape(count, -1)
        return tuple(np.unpackbits(c, count=math.prod(self._shape)).view(bool).reshape(self._shape) for c in channels)


def _name(points: Points) -> str:
    return f"{Clicks(points).digest or 'none'}.mask"
