"""Rescaled values have the same bits as a computation in float64."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.dicom.part10 import Instance
from clickseg.dicom.planes import Plane
from clickseg.dicom.values import rescale_frame

NUMBERS = st.one_of(
    st.integers(-(2**25), 2**25).map(float),
    st.floats(-1e5, 1e5, allow_nan=False),
    st.sampled_from([1.0, -1.0, 0.5, -0.0, 256.0, 257.0, -1024.0]),
)
DTYPES = st.sampled_from(["<i1", "<u1", "<i2", "<u2", "<i4", "<u4"])


def make_plane(slope: float, intercept: float) -> Plane:
    """Returns a plane with slope and intercept at an arbitrary position."""
    header = SimpleNamespace(get={"RescaleSlope": slope, "RescaleIntercept": intercept}.get)
    instance = Instance(Path("a"), "a", header, 0)  # type: ignore[arg-type]
    return Plane(instance, None, np.zeros(3), np.zeros(6), np.ones(2))


@given(DTYPES, NUMBERS.filter(bool), NUMBERS, st.sampled_from([1.0, 1.0, 0.25, 1 / 3]), st.integers(0, 2**32 - 1))
def test_values_have_the_same_bits_as_in_float64(
    dtype: str, slope: float, intercept: float, factor: float, seed: int
) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(seed).integers(limits.min, limits.max, (3, 50), dtype, endpoint=True)
    stored[0, :3] = limits.min, limits.max, 0
    values = np.empty(stored.shape, np.float32)

    rescale_frame(stored, make_plane(slope, intercept), factor, values)

    expected = ((stored.astype(np.float64) * slope + intercept) * factor).astype(np.float32)
    assert values.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("dtype", "slope"), [("<u2", 256.0), ("<i2", 1.0), ("<u1", -3.0)])
def test_integers_are_rescaled_without_additional_memory(dtype: str, slope: float) -> None:
    """Allocating a float64 plane for each of hundreds of planes would take most of the time to read a CT."""
    stored, values = np.ones((512, 512), dtype), np.empty((512, 512), np.float32)
    tracemalloc.start()

    rescale_frame(stored, make_plane(slope, 0.0), 1.0, values)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < stored.size
