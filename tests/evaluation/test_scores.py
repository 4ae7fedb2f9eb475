"""Metrics, compared with MONAI and with values computed by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from clickseg.evaluation.scores import dice, false_negative_volume_ml, false_positive_volume_ml, normalized_auc
from clickseg.evaluation.surface import surface_dice
from tests.helpers import toys

SHAPE = (12, 14, 16)
SPACING = (1.7, 0.9, 3.1)
NEIGHBOURS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step.count(0) in (1, 2)]
"""The offsets of the voxels that share a face or an edge."""


def make_blobs(seed: int, fraction: float) -> np.ndarray:
    """A mask with several components, some at the border."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.2)
    return noise > np.quantile(noise, 1 - fraction)


def monai_dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_dice

    a, b = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (truth, prediction))
    return float(compute_dice(b, a, ignore_empty=False))


def monai_surface_dice(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], tolerance_mm: float
) -> float:
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_surface_dice

    a, b = (torch.from_numpy(np.stack([~mask, mask])[None]) for mask in (truth, prediction))
    value = compute_surface_dice(b, a, [tolerance_mm], spacing=spacing, use_subvoxels=True)
    return float(value)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_dice_equals_that_of_monai(seed: int, fraction: float) -> None:
    truth, prediction = make_blobs(seed, fraction), make_blobs(seed + 1, fraction / 2) | make_blobs(seed, fraction / 2)

    assert dice(truth, prediction) == pytest.approx(monai_dice(truth, prediction), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # a call inside MONAI
@pytest.mark.parametrize("tolerance_mm", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("fraction", [0.005, 0.05, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_surface_dice_equals_that_of_monai(seed: int, fraction: float, tolerance_mm: float) -> None:
    """MONAI processes the entire volume at once, ClickSeg one neighbourhood after another."""
    truth, prediction = make_blobs(seed, fraction), make_blobs(seed + 1, fraction) | make_blobs(seed, fraction / 2)
    expected = monai_surface_dice(truth, prediction, SPACING, tolerance_mm)

    assert surface_dice(truth, prediction, SPACING, tolerance_mm) == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("gap", range(1, 12))
def test_surfaces_within_the_tolerance_are_in_the_same_neighbourhood(gap: int) -> None:
    """At all positions relative to the blocks; surfaces that are 4 voxels apart are just within the tolerance."""
    for first in range(9):
        truth = toys.make_mask((32, 9, 8), (slice(first, first + 3), slice(2, 7), slice(1, 6)))
        prediction = np.roll(truth, 3 + gap, axis=0)

        expected = monai_surface_dice(truth, prediction, (1, 1, 1), 4.0)

        assert surface_dice(truth, prediction, (1, 1, 1), 4.0) == pytest.approx(expected, rel=1e-6)


def test_surfaces_far_from_each_other_do_not_match() -> None:
    truth, prediction = toys.make_mask(SHAPE, (slice(1, 4),) * 3), toys.make_mask(SHAPE, (slice(8, 11),) * 3)

    assert surface_dice(truth, prediction, (1, 1, 1)) == 0
    assert surface_dice(truth, truth | prediction, (1, 1, 1)) == pytest.approx(
        2 / 3
    )  # three equal surfaces, two of them match
    assert surface_dice(truth, truth, (1, 1, 1)) == 1


def test_one_empty_mask_gives_0_and_two_empty_masks_give_1() -> None:
    empty, nonempty = np.zeros(SHAPE, bool), toys.make_mask(SHAPE, (1, 2, 3))

    assert (dice(empty, empty), surface_dice(empty, empty, SPACING)) == (1, 1)
    assert (dice(empty, nonempty), surface_dice(empty, nonempty, SPACING)) == (0, 0)
    assert (dice(nonempty, empty), surface_dice(nonempty, empty, SPACING)) == (0, 0)


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_false_volumes_are_those_of_components_without_overlap(seed: int, fraction: float) -> None:
    truth, prediction = make_blobs(seed, fraction), make_blobs(seed + 1, fraction)

    assert false_positive_volume_ml(truth, prediction, 0.5) == pytest.approx(
        0.5 * voxels_of_separate_components(prediction, truth)
    )
    assert false_negative_volume_ml(truth, prediction, 0.5) == pytest.approx(
        0.5 * voxels_of_separate_components(truth, prediction)
    )


def voxels_of_separate_components(mask: np.ndarray, reference: np.ndarray) -> int:
    """Visits each component voxel by voxel over shared faces and edges."""
    unvisited = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    count = 0
    while unvisited:
        component = [unvisited.pop()]
        for voxel in component:  # the list grows during the loop
            adjacent = {tuple(np.add(voxel, step).tolist()) for step in NEIGHBOURS} & unvisited
            unvisited -= adjacent
            component += adjacent
        count += 0 if any(reference[voxel] for voxel in component) else len(component)
    return count


def test_voxels_that_share_only_a_corner_are_two_components() -> None:
    truth, prediction = toys.make_mask(SHAPE, (1, 1, 1)), toys.make_mask(SHAPE, (1, 1, 1), (2, 2, 2))

    assert false_positive_volume_ml(truth, prediction, 1) == 1
    assert false_positive_volume_ml(truth, toys.make_mask(SHAPE, (1, 1, 1), (1, 2, 2)), 1) == 0


def test_the_area_under_a_curve_is_divided_by_its_width() -> None:
    assert normalized_auc([0, 1]) == 0.5
    assert normalized_auc([0, 0.5, 1, 1, 1]) == pytest.approx((0.25 + 0.75 + 1 + 1) / 4)
    assert normalized_auc([0.7] * 11) == pytest.approx(0.7)
    assert normalized_auc([0.3]) == 0.3
