"""Measurements of PET are those by hand; of a label map that changes, only blocks that changed are measured anew."""

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
from clickseg.dicom.volume import Series
from clickseg.inference import measurements as measures_module
from clickseg.inference.measurements import Measured, Measures, combine_blocks, measure_block
from tests.helpers import phantoms

GEOMETRY = phantoms.oblique_geometry((12, 14, 16), pixel_spacing=(3.1, 2.3), slice_spacing=4.2)
SHAPE = (50, 9, 11)
RANGES = st.tuples(st.floats(0, 1), st.floats(0, 1))
CHANGES = st.lists(st.tuples(RANGES, RANGES, RANGES, st.integers(0, 3)), min_size=1, max_size=5)


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
    parts = [measure_block(mask[:5], 0, volume, unit), measure_block(mask[5:], 5, volume, unit)]
    return combine_blocks(parts, volume, unit)


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


@pytest.fixture(scope="module")
def pet(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """An oblique series of random values, taken for SUV."""
    geometry = phantoms.oblique_geometry(SHAPE)
    values = np.round(np.random.default_rng(3).gamma(2, 200, SHAPE)).astype(np.float32)
    series = phantoms.read(phantoms.write(tmp_path_factory.mktemp("pet"), geometry.with_array(values)))
    return replace(series, unit="SUVbw")


def box_of(*ranges: tuple[float, float]) -> Box:
    """A box of the grid that holds a voxel, by parts of its axes."""
    k, j, i = (
        slice(int(min(pair) * (count - 1)), int(max(pair) * (count - 1)) + 1)
        for pair, count in zip(ranges, SHAPE, strict=True)
    )
    return k, j, i


@given(CHANGES, st.booleans())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_follows_changes_is_what_all_of_it_gives(pet: Series, changes: list, overlapping: bool) -> None:
    array = np.zeros((*SHAPE, 1) if overlapping else SHAPE, np.uint8)
    labels, measures = LabelMap(array, overlapping, 2), Measures(pet)
    for *ranges, value in changes:
        box = box_of(*ranges)
        array[box] = value if overlapping else min(value, 2)
        measures.forget(box)

        found = measures.of(labels)

        assert found == Measures(pet).of(labels)
        assert list(found) == [number for number in (1, 2) if labels.mask(number).any()]
        for number, measured in found.items():
            values = pet.volume.array[labels.mask(number)]
            assert measured.volume_ml == pytest.approx(len(values) * pet.volume.voxel_volume / 1000)
            assert measured.uptake is not None
            assert measured.uptake.suv_max == values.max()
            assert measured.uptake.suv_mean == pytest.approx(values.mean(dtype=np.float64))


def test_only_blocks_that_changed_are_measured_anew(pet: Series, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.ones(SHAPE, np.uint8)
    labels, measures = LabelMap(array, False, 1), Measures(pet)
    measures.of(labels)
    measured: list[int] = []
    monkeypatch.setattr(
        measures_module,
        "measure_part",
        lambda mask, first, *rest: measured.append(first) or measure_block(mask, first, *rest),
    )

    array[17:19, 2, 3] = 0
    measures.forget((slice(17, 19), slice(2, 3), slice(3, 4)))
    measures.of(labels)

    assert measured == [16]
