"""The array types that travel through ClickSeg, and boxes of voxels: parts of a volume along its axes.

Shapes and axes of arrays are in the docstrings of the functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float32]
"""Image values, channels and logits."""

Doubles: TypeAlias = NDArray[np.floating[Any]]
"""Positions in mm, coordinates and factors."""

Indices: TypeAlias = NDArray[np.intp]
"""Voxel indices and counts."""

Integers: TypeAlias = NDArray[np.integer[Any]]
"""Numbers of components."""

Mask: TypeAlias = NDArray[np.bool_]
"""Where something is."""

Numbers: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""Class numbers, segment numbers, or bits of classes."""

Triple: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[slice, slice, slice]


def whole(shape: Iterable[int]) -> Box:
    """Returns the box that is all of a volume."""
    i, j, k = (slice(0, count) for count in shape)
    return i, j, k


def around(boxes: Iterable[Box]) -> Box:
    """Returns the smallest box that holds some boxes; at least one."""
    i, j, k = (slice(min(p.start for p in parts), max(p.stop for p in parts)) for parts in zip(*boxes, strict=True))
    return i, j, k


def meet(box: Box, other: Box) -> bool:
    """Whether two boxes have a voxel in common."""
    return all(p.start < q.stop and q.start < p.stop for p, q in zip(box, other, strict=True))


def apart(boxes: Iterable[Box]) -> list[Box]:
    """Returns boxes that hold some boxes, of which no two meet."""
    found: list[Box] = []
    for each in boxes:
        box = each
        while near := [other for other in found if meet(other, box)]:
            found = [other for other in found if not meet(other, box)]
            box = around([box, *near])
        found.append(box)
    return found


def bounds_of(mask: Mask) -> Box | None:
    """Returns the smallest box that holds all voxels of a mask; None where it has none."""
    found = []
    for axis in range(3):
        planes = np.moveaxis(mask, axis, 0)
        hit = [bool(plane.any()) for plane in planes]  # one by one, which is faster than along two axes at once
        places = np.flatnonzero(hit)
        if not len(places):
            return None
        found.append(slice(int(places[0]), int(places[-1]) + 1))
        mask = mask[(*[slice(None)] * axis, found[-1])]  # what is outside is not looked at again
    return found[0], found[1], found[2]


def grown(box: Box, shape: Iterable[int]) -> Box:
    """Returns a box with the voxels beside it, those of the volume."""
    i, j, k = (slice(max(p.start - 1, 0), min(p.stop + 1, count)) for p, count in zip(box, shape, strict=True))
    return i, j, k


def cut(box: Box, axis: int, part: slice) -> Box:
    """Returns a box with another part along an axis."""
    i, j, k = (part if index == axis else each for index, each in enumerate(box))
    return i, j, k


def within(box: Box, of: Box) -> Box:
    """Returns a box as a part of another one that holds it."""
    i, j, k = (slice(p.start - q.start, p.stop - q.start) for p, q in zip(box, of, strict=True))
    return i, j, k


def placed(box: Box, of: Box) -> Box:
    """Returns a box that is a part of another one, by the places of the volume that both lie in."""
    i, j, k = (slice(p.start + q.start, p.stop + q.start) for p, q in zip(box, of, strict=True))
    return i, j, k
