"""Label maps: the classes of each voxel, for classes that exclude each other and for classes that overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clickseg.core.arrays import LabelArray, Mask


@dataclass(frozen=True, slots=True)
class LabelMap:
    """The classes of each voxel of a grid.

    Attributes:
        array: If classes exclude each other: the class number [K, J, I], 0 for background. If they overlap: one bit per
            class [K, J, I, bytes]; the first class is the lowest bit of the first byte.
        is_overlapping: Whether classes can overlap.
        class_count: The number of classes. They are numbered from 1.
    """

    array: LabelArray
    is_overlapping: bool
    class_count: int

    def mask(self, number: int) -> Mask:
        """Returns the mask of a class."""
        mask: Mask = self.array == number
        if self.is_overlapping:
            byte, bit = divmod(number - 1, 8)
            mask = (self.array[..., byte] >> bit & 1).astype(bool)
        return mask

    def without_voxels(self, number: int, voxels: Mask) -> LabelMap:
        """Returns a copy of the label map in which some voxels no longer belong to a class."""
        array = self.array.copy()
        if self.is_overlapping:
            byte, bit = divmod(number - 1, 8)
            array[voxels, byte] &= np.uint8(~(1 << bit) & 0xFF)
        else:
            for plane, selected in zip(array, voxels, strict=True):
                plane[selected & (plane == number)] = 0
        return replace(self, array=array)

    def copy(self) -> LabelMap:
        """Returns a copy, whose array is a copy too."""
        return replace(self, array=self.array.copy())

    def present_classes(self) -> tuple[int, ...]:
        """Returns the numbers of the classes that have at least one voxel."""
        if not self.is_overlapping:
            is_present = np.zeros(self.class_count + 1, dtype=bool)
            for plane in self.array:  # plane by plane: as indices, the array would take eight times the memory
                values = plane.ravel()
                is_present[values[:1]] = True
                is_present[values[1:][values[1:] != values[:-1]]] = True  # the first voxel of each run
            return tuple(int(number) for number in np.flatnonzero(is_present) if number)
        union = np.bitwise_or.reduce(self.array.reshape(-1, self.array.shape[-1]), axis=0)
        return tuple(n for n in range(1, self.class_count + 1) if union[(n - 1) // 8] >> (n - 1) % 8 & 1)
