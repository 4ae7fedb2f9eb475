"""Arrays of a library other than NumPy: here a fake in host memory, so that a test can see which data are copied."""

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
from clickseg.inference.engines.cuda import to_tensor
from clickseg.inference.engines.engine import Engine, Precision, gpu_batch_size
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.networks import make_package
from tests.helpers.oracles import torch

BATCH = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 8)).astype(np.float32)


class DeviceArray:
    """A fake of a CuPy array: an object that exports DLPack."""

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
    """A fake of the exception of CuPy."""


class Pool:
    """A fake of the memory pool of CuPy, which caches freed memory."""

    def __init__(self) -> None:
        self.cached_bytes = 0

    def free_bytes(self) -> int:
        return self.cached_bytes

    def free_all_blocks(self) -> None:
        self.cached_bytes = 0


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
    return make_package(tmp_path / "unet")


@pytest.fixture
def engine(model: ModelPackage) -> Engine:
    return make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))


def test_an_array_of_another_library_gives_an_array_of_this_library_with_the_same_bytes(
    engine: Engine, cupy: types.ModuleType
) -> None:
    logits = engine.infer(DeviceArray(BATCH))

    assert isinstance(logits, DeviceArray)
    assert logits.values.dtype == np.float32
    assert logits.values.flags.c_contiguous
    assert np.array_equal(logits.values, engine.infer(BATCH))


def test_neither_windows_nor_logits_are_copied(engine: Engine, cupy: types.ModuleType) -> None:
    inputs = []
    engine._network = lambda windows: inputs.append(windows) or windows[:, :2]
    windows = np.ascontiguousarray(BATCH[:1])  # one window: two of three channels are in C order

    logits = engine.infer(DeviceArray(windows))

    assert inputs[0].data_ptr() == windows.ctypes.data == logits.values.ctypes.data


def test_an_array_on_another_device_is_rejected() -> None:
    with pytest.raises(EngineError, match="expected windows on meta, got windows on cpu"):
        to_tensor(DeviceArray(BATCH), "meta")


def test_numpy_arrays_do_not_need_cupy(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)

    assert isinstance(engine.infer(BATCH), np.ndarray)


class OutOfMemoryNetwork(torch.nn.Module):
    """A network that runs out of memory with batches larger than a limit."""

    def __init__(self, max_batch: int, error: type[Exception] = torch.cuda.OutOfMemoryError) -> None:
        super().__init__()
        self.max_batch, self.error = max_batch, error
        self.activations: list[weakref.ref] = []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        activations = windows * 2
        self.activations.append(weakref.ref(activations))
        if len(windows) > self.max_batch:
            raise self.error("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")
        return activations[:, :2]


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, DeviceOutOfMemoryError, RuntimeError])
def test_out_of_memory_is_a_device_memory_error(engine: Engine, cupy: types.ModuleType, error: type[Exception]) -> None:
    engine._network = OutOfMemoryNetwork(1, error)

    with pytest.raises(DeviceMemoryError, match=r"torch failed on cpu with input .*: CUDA out of memory") as raised:
        engine.infer(BATCH)

    assert isinstance(raised.value, EngineError)
    assert isinstance(raised.value, MemoryError)
    assert "\n" not in str(raised.value)


def test_cached_memory_of_cupy_is_freed_before_a_device_is_out_of_memory(
    engine: Engine, cupy: types.ModuleType
) -> None:
    pool = cupy.get_default_memory_pool()
    pool.cached_bytes = 9

    def network(windows: torch.Tensor) -> torch.Tensor:
        if pool.cached_bytes:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return windows[:, :2]

    engine._network = network

    assert np.array_equal(engine.infer(DeviceArray(BATCH)).values, BATCH[:, :2])


def test_the_error_does_not_keep_tensors_alive(engine: Engine) -> None:
    engine._network = OutOfMemoryNetwork(1)
    gc.disable()
    try:
        with pytest.raises(DeviceMemoryError) as raised:
            engine.infer(BATCH)
        assert raised.value.__context__ is None
        assert [reference() for reference in engine._network.activations] == [None]
    finally:
        gc.enable()


def test_the_batch_size_is_halved_down_to_one_with_the_same_network(engine: Engine) -> None:
    assert engine.with_half_batch() is None
    engine.batch = 4
    engine._network = OutOfMemoryNetwork(2)
    with pytest.raises(DeviceMemoryError):
        engine.infer(np.concatenate([BATCH, BATCH]))

    half = engine.with_half_batch()

    assert (half.batch, half.describe()["batch"]) == (2, 2)
    assert half._network is engine._network
    assert np.array_equal(half.infer(BATCH), 2 * BATCH[:, :2])
    assert (half.with_half_batch().batch, half.with_half_batch().with_half_batch(), engine.batch) == (1, None, 4)


def test_openvino_has_no_smaller_batch_size(tmp_path: Path) -> None:
    path = phantoms.write_linear_model(tmp_path / "model", phantoms.metadata(), [[1], [2]], [0, 0])

    assert (
        make_engine(load_package(path), RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)).with_half_batch()
        is None
    )


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
def test_the_batch_size_of_a_gpu_depends_only_on_the_window_size(roi: tuple[int, int, int], batch: int) -> None:
    assert gpu_batch_size(ModelSpec.model_validate(phantoms.metadata(window={"roi": roi, "overlap": 0.5}))) == batch
