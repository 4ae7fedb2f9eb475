"""A mirrored engine returns the mean of the logits of all flipped windows, flipped back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.mirroring import MirroredEngine
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import load_package
from tests.helpers import phantoms
from tests.helpers.fake_device import FakeDeviceArray
from tests.helpers.inference import FakeNetwork

AXES = [(0,), (2,), (0, 1), (0, 1, 2)]
SHAPE = (5, 6, 7)


class Network(FakeNetwork):
    """An engine with the attributes of all engines."""

    device, precision, weights = "cpu", "f32", ()

    def with_half_batch(self) -> Network | None:
        return Network(self._function, self.batch // 2) if self.batch > 1 else None

    def describe(self) -> dict[str, str | int]:
        return {"engine": "fake", "batch": self.batch}


def weigh_by_position(batch: np.ndarray) -> np.ndarray:
    """A network whose logits depend on the position in the window, so that each flip gives other logits."""
    weights = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) ** 2 % 17
    return np.stack([batch[:, 0] * weights, batch[:, 1] - weights, np.roll(batch[:, 0], 1, axis=-1)], axis=1)


def overwrite_output(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a network that has one array for its output, as OpenVINO."""
    outputs: list[np.ndarray] = []

    def infer(batch: np.ndarray) -> np.ndarray:
        outputs[:] = outputs or [function(batch).copy()]
        outputs[0][...] = function(batch)
        return outputs[0]

    return infer


def make_batch(size: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(size, 2, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("size", [1, 3])
def test_logits_are_the_mean_over_all_combinations_of_flips(axes: tuple[int, ...], size: int) -> None:
    network, batch = Network(overwrite_output(weigh_by_position), size), make_batch(size)

    logits = MirroredEngine(network, axes).infer(batch)

    steps = [(1, -1) if axis in axes else (1,) for axis in range(3)]
    runs = [weigh_by_position(batch[:, :, ::i, ::j, ::k])[:, :, ::i, ::j, ::k] for i, j, k in product(*steps)]
    np.testing.assert_allclose(logits, np.mean(runs, axis=0, dtype=np.float64), rtol=1e-5, atol=1e-5)
    assert logits.dtype == np.float32
    assert network.calls == 2 ** len(axes)


def test_a_window_has_the_same_bytes_in_every_batch() -> None:
    batch = make_batch(4)
    alone = [MirroredEngine(Network(weigh_by_position), (0, 1, 2)).infer(batch[[n]])[0] for n in range(4)]

    together = MirroredEngine(Network(weigh_by_position, 4), (0, 1, 2)).infer(batch)

    assert together.tobytes() == np.stack(alone).tobytes()


def test_arrays_stay_on_the_device() -> None:
    batch = make_batch(2)
    network = Network(lambda windows: FakeDeviceArray(weigh_by_position(windows.host_array)))
    network.infer = network._function  # type: ignore[method-assign]  # the checks of a fake network are for the host

    logits = MirroredEngine(network, (0, 2)).infer(FakeDeviceArray(batch))  # type: ignore[arg-type]

    expected = MirroredEngine(Network(weigh_by_position, 2), (0, 2)).infer(batch)
    assert logits.host_array.tobytes() == expected.tobytes()  # type: ignore[attr-defined]


def test_the_batch_can_be_halved() -> None:
    half = MirroredEngine(Network(weigh_by_position, 2), (0, 2)).with_half_batch()

    assert half is not None
    assert (half.batch, half.with_half_batch()) == (1, None)
    assert half.describe() == {"engine": "fake", "batch": 1, "mirroring": "0 2"}


@pytest.mark.parametrize("mirroring", [True, False])
def test_the_option_concerns_only_models_with_mirror_axes(tmp_path: Path, mirroring: bool) -> None:
    settings = RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32, mirroring=mirroring)
    engines = []
    for name, changes in (("plain", {}), ("mirrored", {"mirror_axes": [0, 2]})):
        section = phantoms.metadata(**changes)
        folder = phantoms.write_linear_model(tmp_path / name, section, weights=[[0], [1]], bias=[0, 0])
        engines.append(make_engine(load_package(folder), settings))

    plain, mirrored = engines

    assert "mirroring" not in plain.describe()
    assert mirrored.describe() == {**plain.describe(), "mirroring": "0 2" if mirroring else "off"}
    window = np.random.default_rng(1).normal(size=(1, 1, 8, 8, 8)).astype(np.float32)
    expected = plain.infer(window).copy()
    np.testing.assert_array_equal(mirrored.infer(window), expected)  # a linear network: each flip is the same
