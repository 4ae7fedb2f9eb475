"""Clicks that are off, as those of people are."""

from __future__ import annotations

import numpy as np
import pytest

from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.clicker import Noise, VoxelClick

SHAPE = (30, 40, 50)
SPACING = (3.0, 2.0, 1.0)
CENTRE = (15, 20, 25)


def ball(radius_mm: float) -> np.ndarray:
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((places - CENTRE) * SPACING, axis=-1) <= radius_mm


def test_without_noise_a_click_stays_where_it_is() -> None:
    click = VoxelClick(CENTRE, Polarity.FOREGROUND)

    assert Noise().applied(click, ball(8), SPACING, np.random.default_rng(0)) == click


def test_jitter_has_its_standard_deviation_along_each_axis_in_mm() -> None:
    click, rng = VoxelClick(CENTRE, Polarity.FOREGROUND), np.random.default_rng(1)
    truth, noise = ball(8), Noise(jitter_mm=4.0)

    off = [noise.applied(click, truth, SPACING, rng).voxel for _ in range(4000)]

    assert (np.array(off) - CENTRE).std(axis=0) * SPACING == pytest.approx([4.0] * 3, rel=0.06)


@pytest.mark.parametrize("polarity", list(Polarity))
def test_a_click_outside_lies_just_beyond_the_border(polarity: Polarity) -> None:
    truth = ball(8) if polarity is Polarity.FOREGROUND else ~ball(8)
    click, rng = VoxelClick(CENTRE, polarity), np.random.default_rng(2)
    for _ in range(100):
        off = Noise(outside=1.0).applied(click, truth, SPACING, rng)

        distance_mm = np.linalg.norm((np.array(off.voxel) - CENTRE) * SPACING)
        assert off.polarity is polarity
        assert truth[off.voxel] != (polarity is Polarity.FOREGROUND)
        assert 8 < distance_mm < 8 + np.linalg.norm(SPACING)


@pytest.mark.parametrize("noise", [Noise(jitter_mm=500.0), Noise(outside=1.0)])
def test_a_click_stays_in_the_volume(noise: Noise) -> None:
    everywhere, rng = np.ones(SHAPE, bool), np.random.default_rng(3)
    for voxel in (CENTRE, (0, 0, 0), (29, 39, 49)):
        off = noise.applied(VoxelClick(voxel, Polarity.FOREGROUND), everywhere, SPACING, rng)

        assert all(0 <= index < count for index, count in zip(off.voxel, SHAPE, strict=True))
