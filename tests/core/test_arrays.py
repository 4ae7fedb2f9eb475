"""Boxes: merging, intersection and bounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.core.arrays import Box, intersects, mask_bounds, merge_intersecting

SHAPE = (9, 8, 7)
ENDS = st.tuples(*(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)) for count in SHAPE))
BOXES = st.lists(ENDS.map(lambda ends: tuple(slice(min(pair), max(pair) + 1) for pair in ends)), max_size=6)


def mask_of_boxes(*boxes: Box) -> np.ndarray:
    """Returns the mask of all voxels in boxes."""
    array = np.zeros(SHAPE, bool)
    for box in boxes:
        array[box] = True
    return array


@given(BOXES)
@settings(deadline=None)
def test_merged_boxes_contain_all_boxes_and_do_not_intersect(boxes: list[Box]) -> None:
    merged = merge_intersecting(boxes)

    assert not (mask_of_boxes(*boxes) & ~mask_of_boxes(*merged)).any()
    assert sum(mask_of_boxes(box).sum() for box in merged) == mask_of_boxes(*merged).sum()
    assert all(any((mask_of_boxes(box) & mask_of_boxes(part)).any() for part in boxes) for box in merged)


@given(BOXES)
@settings(deadline=None)
def test_boxes_intersect_if_a_voxel_is_in_both(boxes: list[Box]) -> None:
    assert all(intersects(a, b) == bool((mask_of_boxes(a) & mask_of_boxes(b)).any()) for a in boxes for b in boxes)


@given(BOXES)
@settings(deadline=None)
def test_the_bounds_of_a_mask_are_its_smallest_box(boxes: list[Box]) -> None:
    voxels = np.argwhere(mask_of_boxes(*boxes))

    bounds = mask_bounds(mask_of_boxes(*boxes))

    expected = [slice(a, b + 1) for a, b in zip(voxels.min(axis=0), voxels.max(axis=0), strict=True)] if boxes else None
    assert bounds == (tuple(expected) if expected else None)


def test_boxes_that_do_not_intersect_are_not_merged() -> None:
    first, second = (slice(0, 2),) * 3, (slice(5, 7),) * 3

    assert sorted(merge_intersecting([first, second, first]), key=str) == [first, second]
