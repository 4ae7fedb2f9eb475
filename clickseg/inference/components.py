"""The connected components of one class, kept up to date where its voxels change."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from clickseg.arrays import Integers, Mask
from clickseg.boxes import Box, around, grown, whole, within

_BLOCK_VOXELS = 1 << 20
_MOST = np.iinfo(np.int32).max
T = TypeVar("T", bound=np.generic)


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
        self.numbers: Integers = np.zeros(mask.shape, np.uint16)  # as narrow as will do: there is one for each voxel
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

    def where(self, chosen: Collection[int], box: Box) -> Mask:
        """Returns which voxels of a box belong to some components."""
        numbers, sought = self.numbers[box], np.fromiter(chosen, self.numbers.dtype, len(chosen))
        found = np.zeros(numbers.shape, dtype=bool)
        if len(sought):
            for one, other in zip(_blocks(found), _blocks(numbers), strict=True):
                one[...] = np.isin(other, sought)
        return found

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
        touched = sorted(set().union(*(np.unique(each).tolist() for each in _blocks(self.numbers[beside]))) - {0})
        region = around([beside, *(self.table.pop(number).box for number in touched)])
        found = self._left_of(touched, part, box, region)
        if self.table:
            labelled, count = ndimage.label(found)
            self._widen(self._next - 1 + count)
            numbers = self.numbers[region]
            np.add(labelled, self._next - 1, out=numbers, where=found, casting="unsafe")
        else:  # all of it is 0: no second array is needed
            self._next, labelled = 1, self._labelled(found, region)
        for component in _described(labelled, region):
            self.table[self._next] = component
            self._next += 1
        return region

    def _left_of(self, touched: Collection[int], part: Mask, box: Box, region: Box) -> Mask:
        """Takes some components away, and returns what is in their region now: the rest of them, and a part."""
        if not touched and region == box:
            return part
        found = self.where(touched, region)
        self.numbers[region][found] = 0
        found[within(box, region)] = part
        return found

    def _labelled(self, found: Mask, region: Box) -> Integers:
        """Numbers the components of a region in place, and returns their numbers."""
        from scipy import ndimage

        try:
            ndimage.label(found, output=self.numbers[region])
        except RuntimeError:  # there are too many for so narrow a type
            self._widen(_MOST)
            ndimage.label(found, output=self.numbers[region])
        return self.numbers[region]

    def _widen(self, most: int) -> None:
        """Makes room for numbers."""
        if most > np.iinfo(self.numbers.dtype).max:
            self.numbers = self.numbers.astype(np.int32)


def _blocks(array: NDArray[T]) -> Iterator[NDArray[T]]:
    """Yields an array some planes at a time: what NumPy counts and looks up in takes 8 bytes a voxel meanwhile."""
    step = max(1, _BLOCK_VOXELS // math.prod(array.shape[1:]))
    return (array[first : first + step] for first in range(0, len(array), step))


def _described(labelled: Integers, region: Box) -> Iterator[Component]:
    from scipy import ndimage

    boxes = ndimage.find_objects(labelled)
    sizes = np.zeros(1 + len(boxes), dtype=np.int64)
    for block in _blocks(labelled):
        sizes += np.bincount(block.ravel(), minlength=len(sizes))
    for size, box in zip(sizes[1:].tolist(), boxes, strict=True):
        k, j, i = (slice(part.start + of.start, part.stop + of.start) for part, of in zip(box, region, strict=True))
        yield Component(size, (k, j, i))
