"""Measurements of PET against a computation by hand."""

from __future__ import annotations

import math

import highdicom as hd
import numpy as np
import pytest

from clickseg.inference.measurements import Measured, combined, measure_part
from tests.helpers import phantoms

GEOMETRY = phantoms.oblique_geometry((12, 14, 16), pixel_spacing=(3.1, 2.3), slice_spacing=4.2)


def by_hand(mask: np.ndarray, values: np.ndarray) -> tuple[float, float, float, float]:
    """SUVmax, SUVmean, SUVpeak and TLG, voxel by voxel, with distances between places in the patient."""
    voxels = np.indices(mask.shape).reshape(3, -1).T
    places = GEOMETRY.map_indices_to_reference(voxels)
    flat, inside = values.ravel(), mask.ravel()
    peaks = []
    for centre in places[inside]:
        sphere = np.linalg.norm(places - centre, axis=1) <= (3000 / (4 * math.pi)) ** (1 / 3)
        peaks.append(flat[sphere].mean())
    mean = float(flat[inside].mean())
    return float(flat[inside].max()), mean, max(peaks), mean * inside.sum() * 3.1 * 2.3 * 4.2 / 1000


def measured_in_parts(mask: np.ndarray, volume: hd.Volume, unit: str) -> Measured:
    """What is measured of a segment, its first five slices apart from the others."""
    parts = [measure_part(mask[:5], 0, volume, unit), measure_part(mask[5:], 5, volume, unit)]
    return combined(parts, volume, unit)


@pytest.mark.parametrize("corner", [(0, 0, 0), (3, 4, 5), (8, 10, 12)])
def test_pet_is_measured_as_by_hand(corner: tuple[int, int, int]) -> None:
    values = np.random.default_rng(1).gamma(2, 2, GEOMETRY.spatial_shape).astype(np.float32)
    k, j, i = corner
    mask = np.zeros(GEOMETRY.spatial_shape, bool)
    mask[k : k + 3, j : j + 4, i : i + 2] = True
    mask[k, j, i : i + 4] = True

    measured = measured_in_parts(mask, GEOMETRY.with_array(values), "SUVbw")

    uptake = measured.uptake
    assert uptake is not None
    found = (uptake.suv_max, uptake.suv_mean, uptake.suv_peak, uptake.tlg_g)
    assert found == pytest.approx(by_hand(mask, values), rel=1e-5)
    assert measured.volume_ml == pytest.approx(mask.sum() * 3.1 * 2.3 * 4.2 / 1000)


def test_the_peak_of_one_hot_voxel_is_its_mean_with_its_neighbours() -> None:
    values = np.zeros(GEOMETRY.spatial_shape, np.float32)
    mask = np.zeros(GEOMETRY.spatial_shape, bool)
    values[6, 7, 8], mask[6, 7, 8] = 10, True

    uptake = measured_in_parts(mask, GEOMETRY.with_array(values), "SUVbw").uptake

    assert uptake is not None
    count = sum(
        (4.2 * k) ** 2 + (3.1 * j) ** 2 + (2.3 * i) ** 2 <= (3000 / (4 * math.pi)) ** (2 / 3)
        for k in range(-3, 4)
        for j in range(-3, 4)
        for i in range(-3, 4)
    )
    assert uptake.suv_peak == pytest.approx(10 / count)


@pytest.mark.parametrize("unit", ["HU", ""])
def test_what_is_no_pet_has_a_volume_only(unit: str) -> None:
    mask = np.ones(GEOMETRY.spatial_shape, bool)

    assert measured_in_parts(mask, GEOMETRY.with_array(mask.astype(np.float32)), unit) == Measured(
        pytest.approx(mask.size * 3.1 * 2.3 * 4.2 / 1000)
    )
