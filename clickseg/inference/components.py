"""The connected components of one class, updated where its voxels change."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from clickseg.core.arrays import Box, IntegerArray, Mask, bounding_box, expand_box, full_box, to_local_box

_BLOCK_VOXELS = 1 << 20

_MAX_INT32 = np.iinfo(np.int32).max

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Component:
    """One connected component.

    Attributes:
        voxel_count: The number of voxels.
        box: The bounding box.
    """

    voxel_count: int
    box: Box


class ConnectedComponents:
    """Components of voxels that share a face, or also those that share an edge or a corner (connectivity ``full``).

    A component keeps its number until an update touches it.

    Attributes:
        numbers: The component number of each voxel [K, J, I]; 0 for background.
        table: The components by number.
    """

    def __init__(self, mask: Mask, connectivity: Literal["faces", "full"] = "faces") -> None:
        """Finds the components of a mask [K, J, I]."""
        self._structure = np.ones((3, 3, 3), dtype=bool) if connectivity == "full" else None
        self.numbers: IntegerArray = np.zeros(mask.shape, np.uint16)  # the smallest type possible: one number per voxel
        self.table: dict[int, Component] = {}
        self._next = 1
        if mask.any():
            self.update(mask, full_box(mask.shape))

    def first_voxel(self, number: int) -> int:
        """Returns the flat index of a component's first voxel, which orders components of the same size."""
        box = self.table[number].box
        mask = self.numbers[box] == number
        position = np.unravel_index(int(mask.argmax()), mask.shape)
        index = [int(offset) + part.start for offset, part in zip(position, box, strict=True)]
        return int(np.ravel_multi_index(index, self.numbers.shape))

    def component_mask(self, chosen: Collection[int], box: Box) -> Mask:
        """Returns the voxels in a box that belong to some components.

        Args:
            chosen: The numbers of the components.
            box: The box.
        """
        numbers, wanted = self.numbers[box], np.fromiter(chosen, self.numbers.dtype, len(chosen))
        mask = np.zeros(numbers.shape, dtype=bool)
        if len(wanted):
            for mask_block, numbers_block in zip(_split_blocks(mask), _split_blocks(numbers), strict=True):
                mask_block[...] = np.isin(numbers_block, wanted)
        return mask

    def update(self, part: Mask, box: Box) -> Box:
        """Finds the components again that a change of the mask in a box touches.

        A component that neither overlaps the box nor is adjacent to it is unchanged. All other components, old and new,
        are inside the box and the bounding boxes of the old ones.

        Args:
            part: The new mask in the box.
            box: The box that contains the change.

        Returns:
            The box in which components were found again.
        """
        from scipy import ndimage  # imported only if there are components to find

        adjacent = expand_box(box, self.numbers.shape)
        numbers_near = set().union(*(np.unique(block).tolist() for block in _split_blocks(self.numbers[adjacent])))
        touched = sorted(numbers_near - {0})
        region = bounding_box([adjacent, *(self.table.pop(number).box for number in touched)])
        mask = self._replace_components(touched, part, box, region)
        if self.table:
            labelled, count = ndimage.label(mask, self._structure)
            self._ensure_capacity(self._next - 1 + count)
            numbers = self.numbers[region]
            np.add(labelled, self._next - 1, out=numbers, where=mask, casting="unsafe")
        else:  # all numbers are 0: they are written in place, without a second array
            self._next, labelled = 1, self._label_region(mask, region)
        for component in _list_components(labelled, region):
            self.table[self._next] = component
            self._next += 1
        return region

    def _replace_components(self, touched: Collection[int], part: Mask, box: Box, region: Box) -> Mask:
        """Removes the touched components, and returns the new mask in their region: the rest of them, and the part."""
        if not touched and region == box:
            return part
        mask = self.component_mask(touched, region)
        self.numbers[region][mask] = 0
        mask[to_local_box(box, region)] = part
        return mask

    def _label_region(self, mask: Mask, region: Box) -> IntegerArray:
        """Numbers the components of a region in place, and returns their numbers."""
        from scipy import ndimage

        try:
            ndimage.label(mask, self._structure, output=self.numbers[region])
        except RuntimeError:  # too many components for the integer type
            self._ensure_capacity(_MAX_INT32)
            ndimage.label(mask, self._structure, output=self.numbers[region])
        return self.numbers[region]

    def _ensure_capacity(self, max_number: int) -> None:
        """Widens the integer type of ``numbers`` if necessary."""
        if max_number > np.iinfo(self.numbers.dtype).max:
            self.numbers = self.numbers.astype(np.int32)


def _split_blocks(array: NDArray[T]) -> Iterator[NDArray[T]]:
    """Yields an array in blocks of planes: NumPy's counting and look-up need 8 bytes of temporary memory per voxel."""
    step = max(1, _BLOCK_VOXELS // math.prod(array.shape[1:]))
    return (array[first : first + step] for first in range(0, len(array), step))


def _list_components(labelled: IntegerArray, region: Box) -> Iterator[Component]:
    """Yields the components of a region in the order of their numbers."""
    from scipy import ndimage

    boxes = ndimage.find_objects(labelled)
    sizes = np.zeros(1 + len(boxes), dtype=np.int64)
    for block in _split_blocks(labelled):
        sizes += np.bincount(block.ravel(), minlength=len(sizes))
    for size, box in zip(sizes[1:].tolist(), boxes, strict=True):
        k, j, i = (slice(part.start + of.start, part.stop + of.start) for part, of in zip(box, region, strict=True))
        yield Component(size, (k, j, i))
