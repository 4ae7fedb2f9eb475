"""Array types of ClickSeg, and boxes of voxels, that is, sub-volumes given by a slice along each axis.

The docstrings of the functions give shapes and axes of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32Array: TypeAlias = NDArray[np.float32]
"""Image values, channels and logits."""

FloatArray: TypeAlias = NDArray[np.floating[Any]]
"""Positions in mm, coordinates and factors."""

IndexArray: TypeAlias = NDArray[np.intp]
"""Voxel indices and counts."""

IntegerArray: TypeAlias = NDArray[np.integer[Any]]
"""Numbers of connected components."""

Mask: TypeAlias = NDArray[np.bool_]
"""True in the voxels of a region."""

LabelArray: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""Class numbers, segment numbers, or one bit per class."""

Triple: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[slice, slice, slice]


def full_box(shape: Iterable[int]) -> Box:
    """Returns the box of a complete volume."""
    i, j, k = (slice(0, size) for size in shape)
    return i, j, k


def bounding_box(boxes: Iterable[Box]) -> Box:
    """Returns the smallest box that contains all given boxes, of which there must be at least one."""
    i, j, k = (slice(min(p.start for p in axis), max(p.stop for p in axis)) for axis in zip(*boxes, strict=True))
    return i, j, k


def intersects(first: Box, second: Box) -> bool:
    """Returns whether two boxes have a voxel in common."""
    return all(p.start < q.stop and q.start < p.stop for p, q in zip(first, second, strict=True))


def merge_intersecting(boxes: Iterable[Box]) -> list[Box]:
    """Merges boxes that intersect into their bounding box, until no two of the boxes intersect."""
    merged: list[Box] = []
    for new_box in boxes:
        box = new_box
        while intersecting := [known for known in merged if intersects(known, box)]:
            merged = [known for known in merged if not intersects(known, box)]
            box = bounding_box([box, *intersecting])
        merged.append(box)
    return merged


def mask_bounds(mask: Mask) -> Box | None:
    """Returns the smallest box that contains all voxels of a mask. Returns None if the mask is empty."""
    bounds = []
    for axis in range(3):
        planes = np.moveaxis(mask, axis, 0)
        occupied = [bool(plane.any()) for plane in planes]  # plane by plane is faster than any() over two axes
        indices = np.flatnonzero(occupied)
        if not len(indices):
            return None
        bounds.append(slice(int(indices[0]), int(indices[-1]) + 1))
        mask = mask[(*[slice(None)] * axis, bounds[-1])]  # the next axis only searches these planes
    return bounds[0], bounds[1], bounds[2]


def expand_box(box: Box, shape: Iterable[int]) -> Box:
    """Returns a box enlarged by one voxel on each side, clipped to a volume of the given shape."""
    i, j, k = (slice(max(p.start - 1, 0), min(p.stop + 1, size)) for p, size in zip(box, shape, strict=True))
    return i, j, k


def replace_axis_range(box: Box, axis: int, axis_range: slice) -> Box:
    """Returns a box whose range along one axis is replaced."""
    i, j, k = (axis_range if index == axis else current for index, current in enumerate(box))
    return i, j, k


def to_local_box(box: Box, outer: Box) -> Box:
    """Returns a box in the voxel indices of an outer box that contains it."""
    i, j, k = (slice(p.start - q.start, p.stop - q.start) for p, q in zip(box, outer, strict=True))
    return i, j, k


def to_global_box(box: Box, outer: Box) -> Box:
    """Converts a box from the voxel indices of an outer box to those of the volume."""
    i, j, k = (slice(p.start + q.start, p.stop + q.start) for p, q in zip(box, outer, strict=True))
    return i, j, k
