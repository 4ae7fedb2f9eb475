"""PET measurements equal those computed by hand; after a change only the changed blocks are measured again."""

from __future__ import annotations

import math
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clickseg.core.arrays import Box
from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference import measurements as measurements_module
from clickseg.inference.measurements import MeasurementCache, SegmentMeasurements, combine_blocks, measure_block
from tests.helpers import phantoms

GEOMETRY = phantoms.oblique_geometry((12, 14, 16), pixel_spacing=(3.1, 2.3), slice_spacing=4.2)
SHAPE = (50, 9, 11)
RANGES = st.tuples(st.floats(0, 1), st.floats(0, 1))
CHANGES = st.lists(st.tuples(RANGES, RANGES, RANGES, st.integers(0, 3)), min_size=1, max_size=5)


def measure_by_hand(mask: np.ndarray, values: np.ndarray) -> tuple[float, float, float, float]:
    """Returns SUVmax, SUVmean, SUVpeak and TLG, voxel by voxel, with distances in patient coordinates."""
    voxels = np.indices(mask.shape).reshape(3, -1).T
    places = GEOMETRY.map_indices_to_reference(voxels)
    flat, inside = values.ravel(), mask.ravel()
    peaks = []
    for centre in places[inside]:
        sphere = np.linalg.norm(places - centre, axis=1) <= (3000 / (4 * math.pi)) ** (1 / 3)
        peaks.append(flat[sphere].mean())
    mean = float(flat[inside].mean())
    return float(flat[inside].max()), mean, max(peaks), mean * inside.sum() * 3.1 * 2.3 * 4.2 / 1000


def measure_in_blocks(mask: np.ndarray, volume: hd.Volume, unit: str) -> SegmentMeasurements:
    """Measures a segment in two blocks: its first five slices, and the others."""
    blocks = [measure_block(mask[:5], 0, volume, unit), measure_block(mask[5:], 5, volume, unit)]
    return combine_blocks(blocks, volume, unit)


@pytest.mark.parametrize("corner", [(0, 0, 0), (3, 4, 5), (8, 10, 12)])
def test_pet_measurements_equal_those_by_hand(corner: tuple[int, int, int]) -> None:
    values = np.random.default_rng(1).gamma(2, 2, GEOMETRY.spatial_shape).astype(np.float32)
    k, j, i = corner
    mask = np.zeros(GEOMETRY.spatial_shape, bool)
    mask[k : k + 3, j : j + 4, i : i + 2] = True
    mask[k, j, i : i + 4] = True

    measurements = measure_in_blocks(mask, GEOMETRY.with_array(values), "SUVbw")

    uptake = measurements.uptake
    assert uptake is not None
    measured = (uptake.suv_max, uptake.suv_mean, uptake.suv_peak, uptake.tlg_g)
    assert measured == pytest.approx(measure_by_hand(mask, values), rel=1e-5)
    assert measurements.volume_ml == pytest.approx(mask.sum() * 3.1 * 2.3 * 4.2 / 1000)


def test_the_peak_of_a_single_voxel_is_the_mean_of_the_sphere_around_it() -> None:
    values = np.zeros(GEOMETRY.spatial_shape, np.float32)
    mask = np.zeros(GEOMETRY.spatial_shape, bool)
    values[6, 7, 8], mask[6, 7, 8] = 10, True

    uptake = measure_in_blocks(mask, GEOMETRY.with_array(values), "SUVbw").uptake

    assert uptake is not None
    count = sum(
        (4.2 * k) ** 2 + (3.1 * j) ** 2 + (2.3 * i) ** 2 <= (3000 / (4 * math.pi)) ** (2 / 3)
        for k in range(-3, 4)
        for j in range(-3, 4)
        for i in range(-3, 4)
    )
    assert uptake.suv_peak == pytest.approx(10 / count)


@pytest.mark.parametrize("unit", ["HU", ""])
def test_only_the_volume_is_measured_if_the_unit_is_not_suvbw(unit: str) -> None:
    mask = np.ones(GEOMETRY.spatial_shape, bool)

    assert measure_in_blocks(mask, GEOMETRY.with_array(mask.astype(np.float32)), unit) == SegmentMeasurements(
        pytest.approx(mask.size * 3.1 * 2.3 * 4.2 / 1000)
    )


@pytest.fixture(scope="module")
def pet(tmp_path_factory: pytest.TempPathFactory) -> SeriesVolume:
    """An oblique series of random values, with SUVbw as its unit."""
    geometry = phantoms.oblique_geometry(SHAPE)
    values = np.round(np.random.default_rng(3).gamma(2, 200, SHAPE)).astype(np.float32)
    series = phantoms.read(phantoms.write(tmp_path_factory.mktemp("pet"), geometry.with_array(values)))
    return replace(series, unit="SUVbw")


def box_at(*ranges: tuple[float, float]) -> Box:
    """Returns a box of at least one voxel, from ranges between 0 and 1 along each axis."""
    k, j, i = (
        slice(int(min(pair) * (count - 1)), int(max(pair) * (count - 1)) + 1)
        for pair, count in zip(ranges, SHAPE, strict=True)
    )
    return k, j, i


@given(CHANGES, st.booleans())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_measurements_after_changes_equal_those_of_the_entire_label_map(
    pet: SeriesVolume, changes: list, overlapping: bool
) -> None:
    array = np.zeros((*SHAPE, 1) if overlapping else SHAPE, np.uint8)
    labels, cache = LabelMap(array, overlapping, 2), MeasurementCache(pet)
    for *ranges, value in changes:
        box = box_at(*ranges)
        array[box] = value if overlapping else min(value, 2)
        cache.invalidate(box)

        measurements = cache.measure(labels)

        assert measurements == MeasurementCache(pet).measure(labels)
        assert list(measurements) == [number for number in (1, 2) if labels.mask(number).any()]
        for number, measured in measurements.items():
            values = pet.volume.array[labels.mask(number)]
            assert measured.volume_ml == pytest.approx(len(values) * pet.volume.voxel_volume / 1000)
            assert measured.uptake is not None
            assert measured.uptake.suv_max == values.max()
            assert measured.uptake.suv_mean == pytest.approx(values.mean(dtype=np.float64))


def test_only_changed_blocks_are_measured_again(pet: SeriesVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.ones(SHAPE, np.uint8)
    labels, cache = LabelMap(array, False, 1), MeasurementCache(pet)
    cache.measure(labels)
    measured_slices: list[int] = []
    monkeypatch.setattr(
        measurements_module,
        "measure_block",
        lambda mask, first, *rest: measured_slices.append(first) or measure_block(mask, first, *rest),
    )

    array[17:19, 2, 3] = 0
    cache.invalidate((slice(17, 19), slice(2, 3), slice(3, 4)))
    cache.measure(labels)

    assert measured_slices == [16]
