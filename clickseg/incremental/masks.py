"""What the network said after each click, for models that are given their own result: by the clicks until then."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clickseg.arrays import Mask
from clickseg.boxes import Triple
from clickseg.clicks.click import Clicks
from clickseg.incremental.history import Points
from clickseg.incremental.sealed import SealedFolder
from clickseg.label_map import LabelMap
from clickseg.models.spec import ModelSpec

_KEPT = 64
"""After how many different clicks masks are kept; what is older is made anew from those before it."""

Masks = tuple[Mask, ...]
"""For each mask channel the voxels [I, J, K] of the model grid that are 1."""


def shown_in(labels: LabelMap, spec: ModelSpec) -> Masks:
    """Returns what the mask channels of a model show of a label map [I, J, K] on the model grid."""
    numbers = {each.name: number for number, each in enumerate(spec.classes, 1)}
    return tuple(
        functools.reduce(np.logical_or, (labels.mask(numbers[name]) for name in channel.takes))
        for channel in spec.previous_mask
    )


def empty(shape: Triple, spec: ModelSpec) -> Masks:
    """Returns what they show before anything was run."""
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
