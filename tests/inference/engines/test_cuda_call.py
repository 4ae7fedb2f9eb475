"""Arrays of another library than NumPy: here of one in the host's memory, where it is seen as well what is copied."""

from __future__ import annotations

import gc
import sys
import types
import weakref
from pathlib import Path

import numpy as np
import pytest

from clickseg.core.errors import DeviceMemoryError, EngineError
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.cuda import as_tensor
from clickseg.inference.engines.engine import Engine, Precision, windows_at_once
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.networks import package
from tests.helpers.oracles import torch

BATCH = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 8)).astype(np.float32)


class DeviceArray:
    """What CuPy's arrays are to others: something that exports DLPack."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape = values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __dlpack__(self, **options: object) -> object:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.values.__dlpack_device__()


class DeviceOutOfMemoryError(MemoryError):
    """As CuPy's."""


class Pool:
    """As CuPy's: what it keeps for arrays to come."""

    def __init__(self) -> None:
        self.kept = 0

    def free_bytes(self) -> int:
        return self.kept

    def free_all_blocks(self) -> None:
        self.kept = 0


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("cupy")
    module.from_dlpack = lambda tensor: DeviceArray(np.from_dlpack(tensor))
    module.cuda = types.SimpleNamespace(memory=types.SimpleNamespace(OutOfMemoryError=DeviceOutOfMemoryError))
    pool = Pool()
    module.get_default_memory_pool = lambda: pool
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.fixture
def model(tmp_path: Path) -> ModelPackage:
    return package(tmp_path / "unet")


@pytest.fixture
def engine(model: ModelPackage) -> Engine:
    return make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))


def test_an_array_of_another_library_gives_one_of_its_own_with_the_same_bytes(
    engine: Engine, cupy: types.ModuleType
) -> None:
    logits = engine.infer(DeviceArray(BATCH))

    assert isinstance(logits, DeviceArray)
    assert logits.values.dtype == np.float32
    assert logits.values.flags.c_contiguous
    assert np.array_equal(logits.values, engine.infer(BATCH))


def test_neither_windows_nor_logits_are_copied(engine: Engine, cupy: types.ModuleType) -> None:
    seen = []
    engine._network = lambda windows: seen.append(windows) or windows[:, :2]
    given = np.ascontiguousarray(BATCH[:1])  # one window: two of three channels are in C order

    said = engine.infer(DeviceArray(given))

    assert seen[0].data_ptr() == given.ctypes.data == said.values.ctypes.data


def test_an_array_on_another_device_is_refused() -> None:
    with pytest.raises(EngineError, match="expected a window on meta, got one on cpu"):
        as_tensor(DeviceArray(BATCH), "meta")


def test_numpy_needs_no_cupy(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)

    assert isinstance(engine.infer(BATCH), np.ndarray)


class Exhausted(torch.nn.Module):
    """A network that runs out of a device's memory with more than some windows at once."""

    def __init__(self, most: int, error: type[Exception] = torch.cuda.OutOfMemoryError) -> None:
        super().__init__()
        self.most, self.error = most, error
        self.held: list[weakref.ref] = []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        activations = windows * 2
        self.held.append(weakref.ref(activations))
        if len(windows) > self.most:
            raise self.error("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")
        return activations[:, :2]


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, DeviceOutOfMemoryError, RuntimeError])
def test_a_device_with_too_little_memory_is_an_error_of_its_own(
    engine: Engine, cupy: types.ModuleType, error: type[Exception]
) -> None:
    engine._network = Exhausted(1, error)

    with pytest.raises(DeviceMemoryError, match=r"torch failed on cpu in a window of .*: CUDA out of memory") as raised:
        engine.infer(BATCH)

    assert isinstance(raised.value, EngineError)
    assert isinstance(raised.value, MemoryError)
    assert "\n" not in str(raised.value)


def test_what_cupy_keeps_is_given_back_before_a_device_counts_as_full(engine: Engine, cupy: types.ModuleType) -> None:
    pool = cupy.get_default_memory_pool()
    pool.kept = 9

    def network(windows: torch.Tensor) -> torch.Tensor:
        if pool.kept:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return windows[:, :2]

    engine._network = network

    assert np.array_equal(engine.infer(DeviceArray(BATCH)).values, BATCH[:, :2])


def test_the_error_does_not_hold_the_memory_that_another_try_needs(engine: Engine) -> None:
    engine._network = Exhausted(1)
    gc.disable()
    try:
        with pytest.raises(DeviceMemoryError) as raised:
            engine.infer(BATCH)
        assert raised.value.__context__ is None
        assert [each() for each in engine._network.held] == [None]
    finally:
        gc.enable()


def test_half_the_batch_is_the_same_network_until_one_window_is_left(engine: Engine) -> None:
    assert engine.smaller() is None
    engine.batch = 4
    engine._network = Exhausted(2)
    with pytest.raises(DeviceMemoryError):
        engine.infer(np.concatenate([BATCH, BATCH]))

    half = engine.smaller()

    assert (half.batch, half.describe()["batch"]) == (2, 2)
    assert half._network is engine._network
    assert np.array_equal(half.infer(BATCH), 2 * BATCH[:, :2])
    assert (half.smaller().batch, half.smaller().smaller(), engine.batch) == (1, None, 4)


def test_openvino_has_no_smaller_batch(tmp_path: Path) -> None:
    made = phantoms.linear_model(tmp_path / "model", phantoms.metadata(), [[1], [2]], [0, 0])

    assert make_engine(load_package(made), RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)).smaller() is None


@pytest.mark.parametrize(
    ("roi", "batch"),
    [
        ((128, 128, 128), 1),
        ((160, 160, 160), 1),
        ((96, 96, 96), 2),
        ((64, 64, 64), 4),
        ((8, 8, 8), 4),
        ((80, 96, 96), 2),
    ],
)
def test_the_batch_of_a_gpu_depends_on_the_window_alone(roi: tuple[int, int, int], batch: int) -> None:
    assert windows_at_once(ModelSpec.model_validate(phantoms.metadata(window={"roi": roi, "overlap": 0.5}))) == batch
