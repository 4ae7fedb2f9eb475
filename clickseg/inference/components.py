"""The connected components of one class, kept up to date where its voxels change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clickseg.arrays import Indices, Mask
from clickseg.boxes import Box, around, grown, whole, within


@dataclass(frozen=True, slots=True)
class Component:
    """One component.

    Attributes:
        voxels: How many it has.
        box: The smallest box that holds it.
    """

    voxels: int
    box: Box


class Components:
    """Components of voxels that share a face; their numbers stay as long as nothing touches them.

    Attributes:
        numbers: The component of each voxel [K, J, I]; 0 for none.
        table: The components by number.
    """

    def __init__(self, mask: Mask) -> None:
        """Finds the components of a mask [K, J, I]."""
        self.numbers: Indices = np.zeros(mask.shape, np.int32)
        self.table: dict[int, Component] = {}
        self._next = 1
        if mask.any():
            self.update(mask, whole(mask.shape))

    def first_voxel(self, number: int) -> int:
        """Returns a component's first voxel, counted through the volume: what orders components of the same size."""
        box = self.table[number].box
        inside = self.numbers[box] == number
        place = np.unravel_index(int(inside.argmax()), inside.shape)
        index = [int(at) + part.start for at, part in zip(place, box, strict=True)]
        return int(np.ravel_multi_index(index, self.numbers.shape))

    def update(self, part: Mask, box: Box) -> Box:
        """Finds anew what a change of the mask in a box touches.

        A component that neither reaches into the box nor lies beside it is what it was. All others lie, before and
        after, in the box and in what they covered before.

        Args:
            part: The mask in the box, as it is now.
            box: Where it changed.

        Returns:
            The box in which components were found anew.
        """
        from scipy import ndimage  # only where there is something to find

        beside = grown(box, self.numbers.shape)
        touched = [number for number in np.unique(self.numbers[beside]).tolist() if number]
        region = around([beside, *(self.table.pop(number).box for number in touched)])
        numbers = self.numbers[region]
        found = np.isin(numbers, touched)
        found[within(box, region)] = part
        numbers[np.isin(numbers, touched)] = 0
        labelled, count = ndimage.label(found)
        numbers[found] = labelled[found] + (self._next - 1)
        for number, component in enumerate(_described(labelled, region), self._next):
            self.table[number] = component
        self._next += count
        return region


def _described(labelled: Indices, region: Box) -> Iterator[Component]:
    from scipy import ndimage

    sizes = np.bincount(labelled.ravel())
    for size, box in zip(sizes[1:].tolist(), ndimage.find_objects(labelled), strict=True):
        k, j, i = (slice(part.start + of.start, part.stop + of.start) for part, of in zip(box, region, strict=True))
        yield Component(size, (k, j, i))
