"""Simulated clicks, against ITK's components and SciPy's distance transform of the whole volume."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Choice, Clicker
from clickseg.clicks.simulated.regions import Regions

SHAPE = (14, 11, 17)
SPACING = (1.7, 0.9, 3.1)


def blobs(seed: int, share: float = 0.08) -> np.ndarray:
    """A mask of several regions of different sizes, some at the border."""
    noise = np.random.default_rng(seed).random(SHAPE)
    return noise < share


def components(mask: np.ndarray) -> np.ndarray:
    """The numbers of components whose voxels share a corner."""
    label = SimpleITK.ConnectedComponentImageFilter()
    label.FullyConnectedOn()
    return SimpleITK.GetArrayFromImage(label.Execute(SimpleITK.GetImageFromArray(mask.astype(np.uint8))))


def depths(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Distances of the whole volume, beyond which nothing is."""
    return distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]


@given(st.integers(0, 2**31), st.floats(0.01, 0.6))
@settings(max_examples=40, deadline=None)
def test_regions_are_those_of_itk(seed: int, share: float) -> None:
    mask = blobs(seed, share)
    expected = components(mask)
    count = int(expected.max())

    regions = Regions(mask)

    assert len(regions) == count
    assert Counter(regions.voxels.tolist()) == Counter(np.bincount(expected.ravel())[1:].tolist())
    if count:
        again = np.zeros(SHAPE, bool)
        for number in range(1, count + 1):
            region = regions.region(number)
            assert region.mask.sum() == region.voxels
            again[region.box] |= region.mask
        assert (again == mask).all()


def test_a_row_of_voxels_has_regions() -> None:
    regions = Regions(np.array([[[1, 0, 1, 1, 0, 0, 1]]], bool))

    assert regions.voxels.tolist() == [1, 2, 1]
    assert regions.region(2).first == (0, 0, 2)


@given(st.integers(0, 2**31), st.floats(0.05, 0.5))
@settings(max_examples=40, deadline=None)
def test_the_largest_error_is_clicked_where_it_is_deepest(seed: int, share: float) -> None:
    truth, found = blobs(seed, share), blobs(seed + 1, share)
    errors = components(truth != found)
    sizes = np.bincount(errors.ravel())[1:]

    click = Clicker(Choice.LARGEST, SPACING).largest_error(truth, found, np.random.default_rng(seed))

    assert click is not None
    region = errors == errors[click.voxel]
    inside = depths(region, SPACING)
    assert region.sum() == sizes.max()
    assert inside[click.voxel] == pytest.approx(inside.max(), rel=1e-5)
    assert (click.polarity is Polarity.FOREGROUND) == truth[click.voxel]


def test_equally_deep_voxels_are_all_clicked_in_the_long_run() -> None:
    truth, found = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    truth[3, 4, 5:9] = True
    rng = np.random.default_rng(42)

    clicked = {Clicker(Choice.LARGEST).largest_error(truth, found, rng).voxel for _ in range(200)}

    assert clicked == {(3, 4, k) for k in range(5, 9)}


def test_a_perfect_result_gets_no_click() -> None:
    truth = blobs(1)
    for choice in Choice:
        assert Clicker(choice).corrective(truth, truth, np.random.default_rng(0)) == ()
        assert Clicker(choice).patch_based(truth, truth, (4, 4, 4), np.random.default_rng(0)) == ()
    assert Clicker(Choice.LARGEST).largest_error(truth, truth, np.random.default_rng(0)) is None


@pytest.mark.parametrize("choice", list(Choice))
def test_corrective_clicks_lie_in_what_is_missed_and_in_what_is_false(choice: Choice) -> None:
    truth, found = blobs(1, 0.3), blobs(2, 0.3)
    rng = np.random.default_rng(3)
    for _ in range(50):
        foreground, background = Clicker(choice, SPACING).corrective(truth, found, rng)

        assert (foreground.polarity, background.polarity) == (Polarity.FOREGROUND, Polarity.BACKGROUND)
        assert truth[foreground.voxel]
        assert not found[foreground.voxel]
        assert found[background.voxel]
        assert not truth[background.voxel]


@pytest.mark.parametrize("choice", list(Choice))
def test_only_what_there_is_is_clicked(choice: Choice) -> None:
    truth, nothing = blobs(4), np.zeros(SHAPE, bool)
    rng = np.random.default_rng(5)

    (missed,) = Clicker(choice).corrective(truth, nothing, rng)
    (false,) = Clicker(choice).corrective(nothing, truth, rng)

    assert (missed.polarity, false.polarity) == (Polarity.FOREGROUND, Polarity.BACKGROUND)


@pytest.mark.parametrize("choice", list(Choice))
def test_non_corrective_clicks_depend_on_the_truth_alone(choice: Choice) -> None:
    truth = blobs(6, 0.3)
    rng = np.random.default_rng(7)
    for _ in range(50):
        foreground, background = Clicker(choice).non_corrective(truth, rng)

        assert truth[foreground.voxel]
        assert not truth[background.voxel]


def test_uniform_clicks_hit_each_voxel_as_often() -> None:
    truth = np.zeros(SHAPE, bool)
    truth[1:4, 2:6, 3:5] = truth[9, 9, 9] = True
    rng = np.random.default_rng(8)

    hits = Counter(Clicker(Choice.UNIFORM).corrective(truth, ~truth & False, rng)[0].voxel for _ in range(5000))

    assert len(hits) == 25
    assert all(120 < count < 290 for count in hits.values())


@pytest.mark.slow
def test_clicks_by_depth_hit_a_voxel_in_proportion_to_its_depth() -> None:
    truth = np.zeros((9, 9, 9), bool)
    truth[2:7, 2:7, 2:7] = True
    rng = np.random.default_rng(9)
    hits = np.zeros(truth.shape)
    for _ in range(8000):
        hits[Clicker(Choice.DEPTH).corrective(truth, ~truth & False, rng)[0].voxel] += 1

    expected = depths(truth, (1, 1, 1))
    for distance in np.unique(expected[truth]):
        shell = expected == distance
        assert hits[shell].sum() / 8000 == pytest.approx(expected[shell].sum() / expected.sum(), abs=0.02)


def test_the_worst_patch_is_clicked() -> None:
    truth, found = np.zeros((8, 8, 12), bool), np.zeros((8, 8, 12), bool)
    truth[0:4, 0:4, 0:4] = found[0:4, 0:4, 0:2] = True  # half of it is found
    truth[5, 5, 9:11] = True  # nothing is found, of two voxels
    found[6, 6, 1] = True  # nothing is there: a Dice coefficient of 0 too, but fewer errors

    (click,) = Clicker(Choice.LARGEST).patch_based(truth, found, (4, 4, 4), np.random.default_rng(0))

    assert click.voxel in {(5, 5, 9), (5, 5, 10)}
