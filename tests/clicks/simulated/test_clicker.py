"""Simulated clicks, compared with the components of ITK and the distance transform of SciPy."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Clicker, ClickNoise, SimulatedClick, VoxelChoice, spread_voxels

SHAPE = (14, 11, 17)
SPACING = (1.7, 0.9, 3.1)

GRID = (14, 14, 14)
CUBES = ((slice(1, 4),) * 3, (slice(5, 8),) * 3, (slice(9, 12),) * 3)
CUBE_CENTRES = {(2, 2, 2), (6, 6, 6), (10, 10, 10)}

BALL_SHAPE = (30, 40, 50)
BALL_SPACING = (3.0, 2.0, 1.0)
BALL_CENTRE = (15, 20, 25)


def blobs(seed: int, density: float = 0.08) -> np.ndarray:
    """Returns a mask of several regions of different sizes, some at the border."""
    noise = np.random.default_rng(seed).random(SHAPE)
    return noise < density


def components(mask: np.ndarray) -> np.ndarray:
    """Returns the component numbers; voxels that share a corner are connected."""
    label = SimpleITK.ConnectedComponentImageFilter()
    label.FullyConnectedOn()
    return SimpleITK.GetArrayFromImage(label.Execute(SimpleITK.GetImageFromArray(mask.astype(np.uint8))))


def depths(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Returns distances in the complete volume; voxels beyond its border are outside."""
    return distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]


@given(st.integers(0, 2**31), st.floats(0.05, 0.5))
@settings(max_examples=40, deadline=None)
def test_the_largest_error_is_clicked_at_its_deepest_voxel(seed: int, density: float) -> None:
    truth, prediction = blobs(seed, density), blobs(seed + 1, density)
    errors = components(truth != prediction)
    sizes = np.bincount(errors.ravel())[1:]

    click = Clicker(VoxelChoice.LARGEST, SPACING).largest_error_click(truth, prediction, np.random.default_rng(seed))

    assert click is not None
    region = errors == errors[click.voxel]
    inside = depths(region, SPACING)
    assert region.sum() == sizes.max()
    assert inside[click.voxel] == pytest.approx(inside.max(), rel=1e-5)
    assert (click.polarity is Polarity.FOREGROUND) == truth[click.voxel]


def test_all_equally_deep_voxels_are_clicked_sooner_or_later() -> None:
    truth, prediction = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    truth[3, 4, 5:9] = True
    rng = np.random.default_rng(42)

    voxels = {Clicker(VoxelChoice.LARGEST).largest_error_click(truth, prediction, rng).voxel for _ in range(200)}

    assert voxels == {(3, 4, k) for k in range(5, 9)}


def test_a_perfect_prediction_gets_no_click() -> None:
    truth = blobs(1)
    for choice in VoxelChoice:
        assert Clicker(choice).corrective_clicks(truth, truth, np.random.default_rng(0)) == ()
        assert Clicker(choice).patch_based_clicks(truth, truth, (4, 4, 4), np.random.default_rng(0)) == ()
    assert Clicker(VoxelChoice.LARGEST).largest_error_click(truth, truth, np.random.default_rng(0)) is None


@pytest.mark.parametrize("choice", list(VoxelChoice))
def test_corrective_clicks_are_in_false_negatives_and_false_positives(choice: VoxelChoice) -> None:
    truth, prediction = blobs(1, 0.3), blobs(2, 0.3)
    rng = np.random.default_rng(3)
    for _ in range(50):
        foreground, background = Clicker(choice, SPACING).corrective_clicks(truth, prediction, rng)

        assert (foreground.polarity, background.polarity) == (Polarity.FOREGROUND, Polarity.BACKGROUND)
        assert truth[foreground.voxel]
        assert not prediction[foreground.voxel]
        assert prediction[background.voxel]
        assert not truth[background.voxel]


@pytest.mark.parametrize("choice", list(VoxelChoice))
def test_without_voxels_of_a_kind_its_click_is_missing(choice: VoxelChoice) -> None:
    truth, empty = blobs(4), np.zeros(SHAPE, bool)
    rng = np.random.default_rng(5)

    (missed,) = Clicker(choice).corrective_clicks(truth, empty, rng)
    (false,) = Clicker(choice).corrective_clicks(empty, truth, rng)

    assert (missed.polarity, false.polarity) == (Polarity.FOREGROUND, Polarity.BACKGROUND)


@pytest.mark.parametrize("choice", list(VoxelChoice))
def test_non_corrective_clicks_follow_the_ground_truth_alone(choice: VoxelChoice) -> None:
    truth = blobs(6, 0.3)
    rng = np.random.default_rng(7)
    for _ in range(50):
        foreground, background = Clicker(choice).non_corrective_clicks(truth, rng)

        assert truth[foreground.voxel]
        assert not truth[background.voxel]


def test_uniform_clicks_hit_all_voxels_equally_often() -> None:
    truth = np.zeros(SHAPE, bool)
    truth[1:4, 2:6, 3:5] = truth[9, 9, 9] = True
    rng = np.random.default_rng(8)

    hits = Counter(
        Clicker(VoxelChoice.UNIFORM).corrective_clicks(truth, ~truth & False, rng)[0].voxel for _ in range(5000)
    )

    assert len(hits) == 25
    assert all(120 < count < 290 for count in hits.values())


@pytest.mark.slow
def test_clicks_by_depth_hit_a_voxel_in_proportion_to_its_depth() -> None:
    truth = np.zeros((9, 9, 9), bool)
    truth[2:7, 2:7, 2:7] = True
    rng = np.random.default_rng(9)
    hits = np.zeros(truth.shape)
    for _ in range(8000):
        hits[Clicker(VoxelChoice.DEPTH).corrective_clicks(truth, ~truth & False, rng)[0].voxel] += 1

    expected = depths(truth, (1, 1, 1))
    for distance in np.unique(expected[truth]):
        shell = expected == distance
        assert hits[shell].sum() / 8000 == pytest.approx(expected[shell].sum() / expected.sum(), abs=0.02)


def test_the_worst_patch_is_clicked() -> None:
    truth, prediction = np.zeros((8, 8, 12), bool), np.zeros((8, 8, 12), bool)
    truth[0:4, 0:4, 0:4] = prediction[0:4, 0:4, 0:2] = True  # half of the patch is segmented
    truth[5, 5, 9:11] = True  # two voxels are missed
    prediction[6, 6, 1] = True  # a false positive: a Dice coefficient of 0 too, but fewer errors

    (click,) = Clicker(VoxelChoice.LARGEST).patch_based_clicks(truth, prediction, (4, 4, 4), np.random.default_rng(0))

    assert click.voxel in {(5, 5, 9), (5, 5, 10)}


def cubes() -> np.ndarray:
    mask = np.zeros(GRID, bool)
    for cube in CUBES:
        mask[cube] = True
    return mask


def test_centres_are_first_then_borders_in_the_same_order() -> None:
    mask = cubes()

    voxels = spread_voxels(mask, 8, np.random.default_rng(1))

    assert set(voxels[:3]) == CUBE_CENTRES
    assert not CUBE_CENTRES & set(voxels[3:])
    assert all(mask[voxel] for voxel in voxels)
    cube_of = [voxel[0] // 4 for voxel in voxels]
    assert cube_of[3:6] == cube_of[:3]
    assert cube_of[6:] == cube_of[:2]


def test_if_there_are_more_regions_than_clicks_some_are_chosen() -> None:
    chosen = {spread_voxels(cubes(), 1, np.random.default_rng(seed)) for seed in range(50)}

    assert chosen == {(centre,) for centre in CUBE_CENTRES}


def test_a_region_of_one_voxel_is_its_own_centre_and_border() -> None:
    mask = np.zeros(GRID, bool)
    mask[0, 13, 5] = True

    assert spread_voxels(mask, 3, np.random.default_rng(0)) == ((0, 13, 5),) * 3


def test_all_voxels_of_a_border_are_clicked_sooner_or_later() -> None:
    mask = np.zeros(GRID, bool)
    mask[CUBES[0]] = True

    borders = set(spread_voxels(mask, 600, np.random.default_rng(2))[1:])

    assert borders == {tuple(int(i) for i in voxel) for voxel in np.argwhere(mask)} - {(2, 2, 2)}


def test_an_empty_mask_gets_no_click() -> None:
    assert spread_voxels(np.zeros(GRID, bool), 5, np.random.default_rng(0)) == ()


def ball(radius_mm: float) -> np.ndarray:
    voxels = np.stack(np.meshgrid(*map(np.arange, BALL_SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((voxels - BALL_CENTRE) * BALL_SPACING, axis=-1) <= radius_mm


def test_without_noise_a_click_is_unchanged() -> None:
    click = SimulatedClick(BALL_CENTRE, Polarity.FOREGROUND)

    assert ClickNoise().apply(click, ball(8), BALL_SPACING, np.random.default_rng(0)) == click


def test_jitter_has_the_given_standard_deviation_in_mm_along_each_axis() -> None:
    click, rng = SimulatedClick(BALL_CENTRE, Polarity.FOREGROUND), np.random.default_rng(1)
    truth, noise = ball(8), ClickNoise(jitter_mm=4.0)

    moved = [noise.apply(click, truth, BALL_SPACING, rng).voxel for _ in range(4000)]

    assert (np.array(moved) - BALL_CENTRE).std(axis=0) * BALL_SPACING == pytest.approx([4.0] * 3, rel=0.06)


@pytest.mark.parametrize("polarity", list(Polarity))
def test_a_click_outside_is_just_beyond_the_border(polarity: Polarity) -> None:
    truth = ball(8) if polarity is Polarity.FOREGROUND else ~ball(8)
    click, rng = SimulatedClick(BALL_CENTRE, polarity), np.random.default_rng(2)
    for _ in range(100):
        moved = ClickNoise(outside_probability=1.0).apply(click, truth, BALL_SPACING, rng)

        distance_mm = np.linalg.norm((np.array(moved.voxel) - BALL_CENTRE) * BALL_SPACING)
        assert moved.polarity is polarity
        assert truth[moved.voxel] != (polarity is Polarity.FOREGROUND)
        assert 8 < distance_mm < 8 + np.linalg.norm(BALL_SPACING)


@pytest.mark.parametrize("noise", [ClickNoise(jitter_mm=500.0), ClickNoise(outside_probability=1.0)])
def test_a_click_stays_in_the_volume(noise: ClickNoise) -> None:
    everywhere, rng = np.ones(BALL_SHAPE, bool), np.random.default_rng(3)
    for voxel in (BALL_CENTRE, (0, 0, 0), (29, 39, 49)):
        moved = noise.apply(SimulatedClick(voxel, Polarity.FOREGROUND), everywhere, BALL_SPACING, rng)

        assert all(0 <= index < count for index, count in zip(moved.voxel, BALL_SHAPE, strict=True))
