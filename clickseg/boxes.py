"""Boxes of voxels: parts of a volume along its axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

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


def grown(box: Box, shape: Iterable[int]) -> Box:
    """Returns a box with the voxels beside it, those of the volume."""
    i, j, k = (slice(max(p.start - 1, 0), min(p.stop + 1, count)) for p, count in zip(box, shape, strict=True))
    return i, j, k


def within(box: Box, of: Box) -> Box:
    """Returns a box as a part of another one that holds it."""
    i, j, k = (slice(p.start - q.start, p.stop - q.start) for p, q in zip(box, of, strict=True))
    return i, j, k
