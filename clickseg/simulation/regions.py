"""Connected regions of a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from clickseg.arrays import Indices, Integers, Mask
from clickseg.boxes import Box

NEIGHBOURS: Final = ndimage.generate_binary_structure(3, 3)
"""Voxels of one region share a corner: as the protocols that evaluate interactive segmentation have it."""


@dataclass(frozen=True, slots=True)
class Region:
    """One region.

    Attributes:
        box: The smallest box of the volume [I, J, K] that holds it.
        mask: Its voxels in that box.
        voxels: How many there are.
    """

    box: Box
    mask: Mask
    voxels: int

    @property
    def first(self) -> tuple[int, int, int]:
        """The first voxel of its box."""
        i, j, k = (part.start for part in self.box)
        return i, j, k


class Regions:
    """The regions of a mask [I, J, K], numbered from 1.

    Attributes:
        voxels: How many voxels each has.
    """

    def __init__(self, mask: Mask) -> None:
        """Finds them."""
        self._numbers: Integers = ndimage.label(mask, NEIGHBOURS)[0]
        self._boxes: Sequence[Box] = ndimage.find_objects(self._numbers)
        self.voxels: Indices = np.bincount(self._numbers[mask], minlength=len(self._boxes) + 1)[1:]

    def __len__(self) -> int:
        return len(self.voxels)

    def region(self, number: int) -> Region:
        """Returns one region."""
        box = self._boxes[number - 1]
        return Region(box, self._numbers[box] == number, int(self.voxels[number - 1]))

    @property
    def largest(self) -> int:
        """The number of the region of the most voxels, the first of equal ones; there is at least one."""
        return 1 + int(self.voxels.argmax())
