"""Values are those that float64 gives, to the bit, in whatever type they are computed."""

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
from clickseg.dicom.values import write_values

NUMBERS = st.one_of(
    st.integers(-(2**25), 2**25).map(float),
    st.floats(-1e5, 1e5, allow_nan=False),
    st.sampled_from([1.0, -1.0, 0.5, -0.0, 256.0, 257.0, -1024.0]),
)
DTYPES = st.sampled_from(["<i1", "<u1", "<i2", "<u2", "<i4", "<u4"])


def plane(slope: float, intercept: float) -> Plane:
    """A plane that says so; its place does not matter."""
    header = SimpleNamespace(get={"RescaleSlope": slope, "RescaleIntercept": intercept}.get)
    instance = Instance(Path("a"), "a", header, 0)  # type: ignore[arg-type]
    return Plane(instance, None, np.zeros(3), np.zeros(6), np.ones(2))


@given(DTYPES, NUMBERS.filter(bool), NUMBERS, st.sampled_from([1.0, 1.0, 0.25, 1 / 3]), st.integers(0, 2**32 - 1))
def test_values_have_the_bits_that_float64_gives(
    dtype: str, slope: float, intercept: float, factor: float, seed: int
) -> None:
    kind = np.iinfo(dtype)
    stored = np.random.default_rng(seed).integers(kind.min, kind.max, (3, 50), dtype, endpoint=True)
    stored[0, :3] = kind.min, kind.max, 0
    values = np.empty(stored.shape, np.float32)

    write_values(stored, plane(slope, intercept), factor, values)

    expected = ((stored.astype(np.float64) * slope + intercept) * factor).astype(np.float32)
    assert values.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("dtype", "slope"), [("<u2", 256.0), ("<i2", 1.0), ("<u1", -3.0)])
def test_whole_numbers_take_no_memory_beside_the_volume(dtype: str, slope: float) -> None:
    """A plane of float64 for each of hundreds of planes is most of the time that reading a CT takes."""
    stored, values = np.ones((512, 512), dtype), np.empty((512, 512), np.float32)
    tracemalloc.start()

    write_values(stored, plane(slope, 0.0), 1.0, values)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < stored.size
