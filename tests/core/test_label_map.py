"""Label maps store classes that exclude each other as numbers, and classes that overlap as bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.core.label_map import LabelMap


@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_bits_and_numbers_give_the_same_masks_for_exclusive_classes(count: int, seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, count + 1, (3, 4, 5)).astype(np.uint8)
    one_hot = np.stack([numbers == number for number in range(1, count + 1)], axis=-1)

    exclusive = LabelMap(numbers, False, count)
    overlapping = LabelMap(np.packbits(one_hot, axis=-1, bitorder="little"), True, count)

    assert exclusive.present_classes() == overlapping.present_classes()
    for number in range(1, count + 1):
        assert np.array_equal(exclusive.mask(number), overlapping.mask(number))


@pytest.mark.parametrize("overlapping", [False, True])
def test_removing_voxels_of_one_class_does_not_change_the_others(overlapping: bool) -> None:
    array = np.full((2, 2, 2, 2), 0b00000011, np.uint8) if overlapping else np.array([[[1, 2], [2, 1]]] * 2, np.uint8)
    labels = LabelMap(array, overlapping, 10)
    everywhere = np.ones((2, 2, 2), bool)

    remaining = labels.without_voxels(1, everywhere)

    assert not remaining.mask(1).any()
    assert np.array_equal(remaining.mask(2), labels.mask(2))
    assert labels.mask(1).any()
