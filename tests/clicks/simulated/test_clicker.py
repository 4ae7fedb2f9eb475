"""Simulated clicks, against ITK's components and SciPy's distance transform; spread over regions, and off like ours."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Choice, Clicker, Noise, VoxelClick, spread

SHAPE = (14, 11, 17)
SPACING = (1.7, 0.9, 3.1)

GRID = (14, 14, 14)
CUBES = ((slice(1, 4),) * 3, (slice(5, 8),) * 3, (slice(9, 12),) * 3)
CUBE_CENTRES = {(2, 2, 2), (6, 6, 6), (10, 10, 10)}

BALL_SHAPE = (30, 40, 50)
BALL_SPACING = (3.0, 2.0, 1.0)
BALL_CENTRE = (15, 20, 25)


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


def cubes() -> np.ndarray:
    mask = np.zeros(GRID, bool)
    for cube in CUBES:
        mask[cube] = True
    return mask


def test_centres_come_first_then_borders_in_the_same_order() -> None:
    mask = cubes()

    voxels = spread(mask, 8, np.random.default_rng(1))

    assert set(voxels[:3]) == CUBE_CENTRES
    assert not CUBE_CENTRES & set(voxels[3:])
    assert all(mask[voxel] for voxel in voxels)
    cube_of = [voxel[0] // 4 for voxel in voxels]
    assert cube_of[3:6] == cube_of[:3]
    assert cube_of[6:] == cube_of[:2]


def test_of_more_regions_than_clicks_some_are_drawn() -> None:
    drawn = {spread(cubes(), 1, np.random.default_rng(seed)) for seed in range(50)}

    assert drawn == {(centre,) for centre in CUBE_CENTRES}


def test_a_region_of_one_voxel_is_its_own_centre_and_border() -> None:
    mask = np.zeros(GRID, bool)
    mask[0, 13, 5] = True

    assert spread(mask, 3, np.random.default_rng(0)) == ((0, 13, 5),) * 3


def test_every_voxel_of_a_border_is_clicked_in_the_long_run() -> None:
    mask = np.zeros(GRID, bool)
    mask[CUBES[0]] = True

    borders = set(spread(mask, 600, np.random.default_rng(2))[1:])

    assert borders == {tuple(int(i) for i in voxel) for voxel in np.argwhere(mask)} - {(2, 2, 2)}


def test_nothing_is_clicked_where_nothing_is() -> None:
    assert spread(np.zeros(GRID, bool), 5, np.random.default_rng(0)) == ()


def ball(radius_mm: float) -> np.ndarray:
    places = np.stack(np.meshgrid(*map(np.arange, BALL_SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((places - BALL_CENTRE) * BALL_SPACING, axis=-1) <= radius_mm


def test_without_noise_a_click_stays_where_it_is() -> None:
    click = VoxelClick(BALL_CENTRE, Polarity.FOREGROUND)

    assert Noise().applied(click, ball(8), BALL_SPACING, np.random.default_rng(0)) == click


def test_jitter_has_its_standard_deviation_along_each_axis_in_mm() -> None:
    click, rng = VoxelClick(BALL_CENTRE, Polarity.FOREGROUND), np.random.default_rng(1)
    truth, noise = ball(8), Noise(jitter_mm=4.0)

    off = [noise.applied(click, truth, BALL_SPACING, rng).voxel for _ in range(4000)]

    assert (np.array(off) - BALL_CENTRE).std(axis=0) * BALL_SPACING == pytest.approx([4.0] * 3, rel=0.06)


@pytest.mark.parametrize("polarity", list(Polarity))
def test_a_click_outside_lies_just_beyond_the_border(polarity: Polarity) -> None:
    truth = ball(8) if polarity is Polarity.FOREGROUND else ~ball(8)
    click, rng = VoxelClick(BALL_CENTRE, polarity), np.random.default_rng(2)
    for _ in range(100):
        off = Noise(outside=1.0).applied(click, truth, BALL_SPACING, rng)

        distance_mm = np.linalg.norm((np.array(off.voxel) - BALL_CENTRE) * BALL_SPACING)
        assert off.polarity is polarity
        assert truth[off.voxel] != (polarity is Polarity.FOREGROUND)
        assert 8 < distance_mm < 8 + np.linalg.norm(BALL_SPACING)


@pytest.mark.parametrize("noise", [Noise(jitter_mm=500.0), Noise(outside=1.0)])
def test_a_click_stays_in_the_volume(noise: Noise) -> None:
    everywhere, rng = np.ones(BALL_SHAPE, bool), np.random.default_rng(3)
    for voxel in (BALL_CENTRE, (0, 0, 0), (29, 39, 49)):
        off = noise.applied(VoxelClick(voxel, Polarity.FOREGROUND), everywhere, BALL_SPACING, rng)

        assert all(0 <= index < count for index, count in zip(off.voxel, BALL_SHAPE, strict=True))
