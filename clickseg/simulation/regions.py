"""Connected regions of a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np

from clickseg.arrays import Indices, Mask, Numbers
from clickseg.boxes import Box

CONNECTIVITY: Final = 26
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
        self._numbers: Numbers = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=CONNECTIVITY)
        found = cc3d.statistics(self._numbers)
        self._boxes: Sequence[Box] = found["bounding_boxes"]
        self.voxels: Indices = np.asarray(found["voxel_counts"][1:], dtype=np.intp)

    def __len__(self) -> int:
        return len(self.voxels)

    def region(self, number: int) -> Region:
        """Returns one region."""
        box = self._boxes[number]
        return Region(box, self._numbers[box] == number, int(self.voxels[number - 1]))

    @property
    def largest(self) -> int:
        """The number of the region of the most voxels, the first of equal ones; there is at least one."""
        return 1 + int(self.voxels.argmax())
