"""Boxes: what holds what, and what meets what."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.core.arrays import Box, apart, bounds_of, meet

SHAPE = (9, 8, 7)
ENDS = st.tuples(*(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)) for count in SHAPE))
BOXES = st.lists(ENDS.map(lambda ends: tuple(slice(min(each), max(each) + 1) for each in ends)), max_size=6)


def drawn(*boxes: Box) -> np.ndarray:
    """The voxels of boxes."""
    array = np.zeros(SHAPE, bool)
    for box in boxes:
        array[box] = True
    return array


@given(BOXES)
@settings(deadline=None)
def test_boxes_apart_hold_all_and_do_not_meet(boxes: list[Box]) -> None:
    found = apart(boxes)

    assert not (drawn(*boxes) & ~drawn(*found)).any()
    assert sum(drawn(each).sum() for each in found) == drawn(*found).sum()
    assert all(any((drawn(each) & drawn(box)).any() for box in boxes) for each in found)


@given(BOXES)
@settings(deadline=None)
def test_boxes_meet_where_a_voxel_is_in_both(boxes: list[Box]) -> None:
    assert all(meet(a, b) == bool((drawn(a) & drawn(b)).any()) for a in boxes for b in boxes)


@given(BOXES)
@settings(deadline=None)
def test_the_bounds_of_a_mask_are_the_smallest_box_that_holds_it(boxes: list[Box]) -> None:
    voxels = np.argwhere(drawn(*boxes))

    found = bounds_of(drawn(*boxes))

    expected = [slice(a, b + 1) for a, b in zip(voxels.min(axis=0), voxels.max(axis=0), strict=True)] if boxes else None
    assert found == (tuple(expected) if expected else None)


def test_two_boxes_far_apart_stay_two() -> None:
    one, other = (slice(0, 2),) * 3, (slice(5, 7),) * 3

    assert sorted(apart([one, other, one]), key=str) == [one, other]
