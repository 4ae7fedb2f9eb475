"""Clicks that are placed before anything was found."""

from __future__ import annotations

import numpy as np

from clickseg.clicks.simulated.clicker import spread

SHAPE = (14, 14, 14)
CUBES = ((slice(1, 4),) * 3, (slice(5, 8),) * 3, (slice(9, 12),) * 3)
CENTRES = {(2, 2, 2), (6, 6, 6), (10, 10, 10)}


def cubes() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for cube in CUBES:
        mask[cube] = True
    return mask


def test_centres_come_first_then_borders_in_the_same_order() -> None:
    mask = cubes()

    voxels = spread(mask, 8, np.random.default_rng(1))

    assert set(voxels[:3]) == CENTRES
    assert not CENTRES & set(voxels[3:])
    assert all(mask[voxel] for voxel in voxels)
    cube_of = [voxel[0] // 4 for voxel in voxels]
    assert cube_of[3:6] == cube_of[:3]
    assert cube_of[6:] == cube_of[:2]


def test_of_more_regions_than_clicks_some_are_drawn() -> None:
    drawn = {spread(cubes(), 1, np.random.default_rng(seed)) for seed in range(50)}

    assert drawn == {(centre,) for centre in CENTRES}


def test_a_region_of_one_voxel_is_its_own_centre_and_border() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[0, 13, 5] = True

    assert spread(mask, 3, np.random.default_rng(0)) == ((0, 13, 5),) * 3


def test_every_voxel_of_a_border_is_clicked_in_the_long_run() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[CUBES[0]] = True

    borders = set(spread(mask, 600, np.random.default_rng(2))[1:])

    assert borders == {tuple(int(i) for i in voxel) for voxel in np.argwhere(mask)} - {(2, 2, 2)}


def test_nothing_is_clicked_where_nothing_is() -> None:
    assert spread(np.zeros(SHAPE, bool), 5, np.random.default_rng(0)) == ()
