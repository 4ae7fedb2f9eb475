"""Measurements that follow a label map are those of all of it, and only blocks that changed are measured anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clickseg.core.arrays import Box
from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import Series
from clickseg.inference import measurements as measures_module
from clickseg.inference.measurements import Measures, measure_part
from tests.helpers import phantoms

SHAPE = (50, 9, 11)
RANGES = st.tuples(st.floats(0, 1), st.floats(0, 1))
CHANGES = st.lists(st.tuples(RANGES, RANGES, RANGES, st.integers(0, 3)), min_size=1, max_size=5)


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
        lambda mask, first, *rest: measured.append(first) or measure_part(mask, first, *rest),
    )

    array[17:19, 2, 3] = 0
    measures.forget((slice(17, 19), slice(2, 3), slice(3, 4)))
    measures.of(labels)

    assert measured == [16]
