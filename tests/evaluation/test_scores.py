"""Metrics, against MONAI's and against figures worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from clickseg.evaluation.scores import area_under, dice, false_negative_ml, false_positive_ml
from clickseg.evaluation.surface import surface_dice
from tests.helpers import toys

SHAPE = (12, 14, 16)
SPACING = (1.7, 0.9, 3.1)
STEPS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step.count(0) in (1, 2)]
"""To the voxels that share a face or an edge."""


def blobs(seed: int, share: float) -> np.ndarray:
    """A mask of several blobs, some at the border."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.2)
    return noise > np.quantile(noise, 1 - share)


def monai_dice(truth: np.ndarray, found: np.ndarray) -> float:
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_dice

    a, b = (torch.from_numpy(each[None, None].astype(np.float32)) for each in (truth, found))
    return float(compute_dice(b, a, ignore_empty=False))


def monai_surface_dice(truth: np.ndarray, found: np.ndarray, spacing: tuple[float, ...], tolerance_mm: float) -> float:
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_surface_dice

    a, b = (torch.from_numpy(np.stack([~each, each])[None]) for each in (truth, found))
    found_dice = compute_surface_dice(b, a, [tolerance_mm], spacing=spacing, use_subvoxels=True)
    return float(found_dice)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_dice_is_that_of_monai(seed: int, share: float) -> None:
    truth, found = blobs(seed, share), blobs(seed + 1, share / 2) | blobs(seed, share / 2)

    assert dice(truth, found) == pytest.approx(monai_dice(truth, found), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI's own call
@pytest.mark.parametrize("tolerance_mm", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("share", [0.005, 0.05, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_surface_dice_is_that_of_monai(seed: int, share: float, tolerance_mm: float) -> None:
    """MONAI looks at the whole volume at once, where we look at one neighbourhood after another."""
    truth, found = blobs(seed, share), blobs(seed + 1, share) | blobs(seed, share / 2)
    expected = monai_surface_dice(truth, found, SPACING, tolerance_mm)

    assert surface_dice(truth, found, SPACING, tolerance_mm) == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("gap", range(1, 12))
def test_neighbourhoods_are_not_cut_where_surfaces_see_each_other(gap: int) -> None:
    """Wherever the borders of blocks lie; at 4 mm surfaces that are 4 voxels apart see each other just so."""
    for first in range(9):
        truth = toys.mask((32, 9, 8), (slice(first, first + 3), slice(2, 7), slice(1, 6)))
        found = np.roll(truth, 3 + gap, axis=0)

        expected = monai_surface_dice(truth, found, (1, 1, 1), 4.0)

        assert surface_dice(truth, found, (1, 1, 1), 4.0) == pytest.approx(expected, rel=1e-6)


def test_surfaces_far_from_each_other_have_no_part_in_common() -> None:
    truth, found = toys.mask(SHAPE, (slice(1, 4),) * 3), toys.mask(SHAPE, (slice(8, 11),) * 3)

    assert surface_dice(truth, found, (1, 1, 1)) == 0
    assert surface_dice(truth, truth | found, (1, 1, 1)) == pytest.approx(
        2 / 3
    )  # three surfaces alike, two of them near
    assert surface_dice(truth, truth, (1, 1, 1)) == 1


def test_one_empty_mask_is_all_wrong_and_two_are_all_right() -> None:
    nothing, something = np.zeros(SHAPE, bool), toys.mask(SHAPE, (1, 2, 3))

    assert (dice(nothing, nothing), surface_dice(nothing, nothing, SPACING)) == (1, 1)
    assert (dice(nothing, something), surface_dice(nothing, something, SPACING)) == (0, 0)
    assert (dice(something, nothing), surface_dice(something, nothing, SPACING)) == (0, 0)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_false_volumes_are_those_of_components_that_nothing_touches(seed: int, share: float) -> None:
    truth, found = blobs(seed, share), blobs(seed + 1, share)

    assert false_positive_ml(truth, found, 0.5) == pytest.approx(0.5 * untouched(found, truth))
    assert false_negative_ml(truth, found, 0.5) == pytest.approx(0.5 * untouched(truth, found))


def untouched(components_of: np.ndarray, other: np.ndarray) -> int:
    """Counts component by component, each grown voxel by voxel over shared faces and edges."""
    left = {tuple(voxel) for voxel in np.argwhere(components_of).tolist()}
    count = 0
    while left:
        part = [left.pop()]
        for voxel in part:  # which grows meanwhile
            beside = {tuple(np.add(voxel, step).tolist()) for step in STEPS} & left
            left -= beside
            part += beside
        count += 0 if any(other[voxel] for voxel in part) else len(part)
    return count


def test_voxels_that_share_only_a_corner_are_two_components() -> None:
    truth, found = toys.mask(SHAPE, (1, 1, 1)), toys.mask(SHAPE, (1, 1, 1), (2, 2, 2))

    assert false_positive_ml(truth, found, 1) == 1
    assert false_positive_ml(truth, toys.mask(SHAPE, (1, 1, 1), (1, 2, 2)), 1) == 0


def test_the_area_under_a_curve_is_over_its_width() -> None:
    assert area_under([0, 1]) == 0.5
    assert area_under([0, 0.5, 1, 1, 1]) == pytest.approx((0.25 + 0.75 + 1 + 1) / 4)
    assert area_under([0.7] * 11) == pytest.approx(0.7)
    assert area_under([0.3]) == 0.3
