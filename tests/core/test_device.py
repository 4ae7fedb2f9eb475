"""On a GPU, arrays stay there until the label map is computed, and results have the same bytes as on the host."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clickseg.clicks.click import Clicks, Polarity
from clickseg.core.device import HOST, CudaDevice, Device, array_device
from clickseg.core.errors import DeviceMemoryError
from clickseg.core.memory import Memory
from clickseg.core.progress import no_progress
from clickseg.inference.case import PredictedCase, PreprocessedCase
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.incremental import IncrementalInference
from clickseg.inference.intensity import fit_scaler
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_input import InMemoryImage, ScaledImage
from clickseg.inference.pipeline import _infer_on_device, infer
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import load_package
from clickseg.models.spec import PercentileScaling, RangeScaling, Scaling, SquareRootScaling, ZScoreScaling
from tests.helpers import phantoms, runs
from tests.helpers.fake_device import FakeDevice, FakeDeviceArray

SCALINGS = [
    RangeScaling(kind="range", a_min=-9, a_max=9),
    RangeScaling(kind="range", a_min=9, a_max=9, clip=False),
    SquareRootScaling(kind="square_root", maximum=8),
    PercentileScaling(kind="percentile", lower=2, upper=98),
    ZScoreScaling(kind="zscore", nonzero=True),
]
RESAMPLED = {"grid": {"spacing_mm": [1.5, 1.5, 2.0], "orientation": "RAS"}}
CROPPED = {"crop": {"voxels": "positive", "values": "source", "grid": "model", "margin_vox": 6}}
MIRRORED = {"mirror_axes": [0, 2]}
ON_MODEL_GRID = {"interpolation": "labels", "postprocessing": {"keep": "largest", "grid": "model"}}


class DeviceEngine:
    """An engine whose windows and logits are on a device."""

    device = "cuda"
    precision = "f32"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batch, self.weights, self.describe = engine.batch, engine.weights, engine.describe

    def infer(self, batch: FakeDeviceArray) -> FakeDeviceArray:
        return FakeDeviceArray(self._engine.infer(np.ascontiguousarray(batch.host_array)).copy())


def prepare_case(folder: Path, **changes: object) -> tuple[PreprocessedCase, Engine]:
    series = phantoms.read(runs.write_input(folder / "in") / "CT")
    package = load_package(runs.write_model(folder / "models", **changes) / "thresholder")
    clicks = Clicks((runs.click(9, 11, 13), runs.click(3, 3, 4, polarity=Polarity.BACKGROUND)))
    return preprocess(make_case([series], clicks, package)), make_engine(
        package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)
    )


def run_inference(device: Device, case: PreprocessedCase, engine: Engine, folder: Path) -> PredictedCase:
    return _infer_on_device(device, case, engine, no_progress, KernelChoice(), Memory(1 << 40, folder))


@pytest.mark.parametrize(
    "decision", [{}, {"activation": "sigmoid"}, {"activation": "sigmoid", "overwrite": True}], ids=str
)
@pytest.mark.parametrize("changes", [RESAMPLED, {}, RESAMPLED | CROPPED, RESAMPLED | ON_MODEL_GRID, MIRRORED], ids=str)
def test_arrays_stay_on_the_device_until_the_label_map_is_computed(
    tmp_path: Path, decision: dict[str, object], changes: dict[str, object]
) -> None:
    case, engine = prepare_case(tmp_path, **decision, **changes)

    on_device = run_inference(FakeDevice(), case, DeviceEngine(engine), tmp_path)

    on_host = run_inference(HOST, case, engine, tmp_path)
    assert (on_device.windows.logits_storage, on_host.windows.logits_storage) == ("gpu", "memory")
    assert on_host.labels.array.any()
    assert isinstance(on_device.labels.array, np.ndarray)
    assert on_device.labels.array.tobytes() == on_host.labels.array.tobytes()


def test_planes_that_two_layers_share_are_moved_without_overlap(tmp_path: Path) -> None:
    case, engine = prepare_case(tmp_path, window={"roi": [8, 8, 8], "overlap": 0.75})

    on_device = run_inference(FakeDevice(), case, DeviceEngine(engine), tmp_path)

    assert on_device.labels.array.tobytes() == run_inference(HOST, case, engine, tmp_path).labels.array.tobytes()


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda scaling: scaling.kind)
def test_values_are_scaled_on_their_device(scaling: Scaling) -> None:
    values = np.random.default_rng(3).integers(-10, 10, (4, 5, 6)).astype(np.float32)
    on_host = ScaledImage(InMemoryImage(values), fit_scaler(scaling, lambda: [values]))

    device, box = FakeDevice(), (slice(1, 3), slice(0, 5), slice(2, 6))
    with device.activate():
        on_device = device.get(on_host.to_device(device).crop(box))

    assert on_device.tobytes() == on_host.crop(box).tobytes()


def test_without_cupy_the_device_of_every_engine_is_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert array_device("cpu") is HOST
    assert array_device("cuda:1") is HOST


def test_if_cupy_cannot_be_imported_the_host_is_used_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes the import fail

    assert array_device("cuda") is HOST
    assert "CuPy cannot be used, so the host does its work" in caplog.text


class LimitedEngine(DeviceEngine):
    """An engine whose device has memory for a number of windows, and for blending or not."""

    def __init__(self, engine: Engine, batch: int, fits: int, blends: bool) -> None:
        super().__init__(engine)
        self.batch, self._fits, self._blends = batch, fits, blends
        self.describe = lambda: {"batch": batch}

    def with_half_batch(self) -> LimitedEngine | None:
        return LimitedEngine(self._engine, self.batch // 2, self._fits, self._blends) if self.batch > 1 else None

    def infer(self, batch):
        is_on_device = isinstance(batch, FakeDeviceArray)
        assert len(batch) == self.batch
        if len(batch) > self._fits or (is_on_device and not self._blends):
            raise DeviceMemoryError("the memory of the device is full", hint="use another one")
        windows = batch.host_array if is_on_device else batch
        logits = np.concatenate([self._engine.infer(window[np.newaxis]).copy() for window in windows])
        return FakeDeviceArray(logits) if is_on_device else logits


@pytest.mark.parametrize(
    ("fits", "blends", "batch", "logits"), [(4, True, 4, "gpu"), (2, True, 2, "gpu"), (1, False, 1, "memory")]
)
def test_if_the_device_is_full_batches_get_smaller_and_then_the_host_blends(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fits: int,
    blends: bool,
    batch: int,
    logits: str,
) -> None:
    device = FakeDevice()
    monkeypatch.setattr("clickseg.inference.pipeline.array_device", lambda _: device)
    case, engine = prepare_case(tmp_path)

    result = infer(case, LimitedEngine(engine, 4, fits, blends), no_progress, KernelChoice(), Memory(1 << 40, tmp_path))

    assert (result.engine["batch"], result.windows.logits_storage) == (batch, logits)
    assert len(caplog.records) == {4: 0, 2: 1, 1: 3}[batch]
    assert device.live_array_counts == [0] * len(caplog.records)  # the memory of a failed attempt is freed
    on_host = run_inference(HOST, case, engine, tmp_path)
    assert result.labels.array.tobytes() == on_host.labels.array.tobytes()


def test_a_device_without_memory_for_one_window_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clickseg.inference.pipeline.array_device", lambda _: FakeDevice())
    case, engine = prepare_case(tmp_path)

    with pytest.raises(DeviceMemoryError, match="the memory of the device is full") as raised:
        infer(case, LimitedEngine(engine, 4, 0, False), no_progress, KernelChoice(), Memory(1 << 40, tmp_path))

    assert raised.value.hint == "use another one"
    assert raised.value.__context__ is None


class FakeGpu:
    """Simulates the memory management of CuPy and torch. torch caches memory until ``empty_cache`` is called."""

    class OutOfMemoryError(MemoryError):
        pass

    def __init__(self, number: int, room: int, cached_by_torch: int) -> None:
        self.id, self.room, self.cached_by_torch = number, room, cached_by_torch
        self.mem_info = (room, room)
        self.current: list[int] = [0]
        self.freed: list[int] = []
        self.cuda = SimpleNamespace(
            Device=lambda _: self,
            memory=SimpleNamespace(OutOfMemoryError=self.OutOfMemoryError),
            using_allocator=self.using_allocator,
            empty_cache=self.empty_cache,
        )

    def __enter__(self) -> None:
        self.current.append(self.id)

    def __exit__(self, *_: object) -> None:
        self.current.pop()

    @contextmanager
    def using_allocator(self, allocator: Callable[[int], str]) -> Iterator[None]:
        self.allocator = allocator
        yield

    def get_default_pinned_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_all_blocks=lambda: None)

    def get_default_memory_pool(self) -> FakeGpu:
        return self

    def free_all_blocks(self) -> None:
        self.freed.append(self.current[-1])

    def empty_cache(self) -> None:
        self.room, self.cached_by_torch = self.room + self.cached_by_torch, 0

    def malloc(self, size: int) -> str:
        if size > self.room:
            raise self.OutOfMemoryError("Out of memory allocating")
        self.room -= size
        return "memory"


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu(1, room=4, cached_by_torch=2)
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setitem(sys.modules, "torch", fake)
    return fake


def test_work_is_done_on_the_selected_gpu_and_its_memory_is_freed(gpu: FakeGpu) -> None:
    with CudaDevice(1).activate():
        assert gpu.current == [0, 1]

    assert (gpu.current, gpu.freed) == ([0], [1])


def test_a_gpu_is_full_only_if_torch_has_no_cached_memory(gpu: FakeGpu) -> None:
    with CudaDevice(1).activate():
        assert gpu.allocator(5) == "memory"
    assert (gpu.room, gpu.cached_by_torch) == (1, 0)

    with pytest.raises(DeviceMemoryError, match="CUDA device 1: Out of memory allocating"), CudaDevice(1).activate():
        gpu.allocator(2)


def test_if_the_home_folder_is_not_writable_kernels_are_cached_in_memory(
    gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "0")

    CudaDevice(1)
    assert os.environ["CUPY_CACHE_IN_MEMORY"] == "0"

    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "home" / ".cupy"))
    CudaDevice(1)
    assert os.environ["CUPY_CACHE_IN_MEMORY"] == "1"
    assert Path(os.environ["CUPY_CACHE_DIR"]).is_dir()


def test_without_torch_a_full_gpu_is_an_error_at_once(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")

    with pytest.raises(DeviceMemoryError), CudaDevice(1).activate():
        gpu.allocator(5)


@pytest.mark.parametrize("room", [1 << 40, 0], ids=["stored", "not stored"])
def test_a_session_runs_on_the_device_and_stores_logits_there_if_they_fit(tmp_path: Path, room: int) -> None:
    case, engine = prepare_case(tmp_path)
    devices = [HOST, FakeDevice(room)]
    points = case.case.clicks.points
    labels = []

    for session_engine, device in zip((engine, DeviceEngine(engine)), devices, strict=True):
        inference = IncrementalInference(case, session_engine, Memory(1 << 40, tmp_path), KernelChoice(), device=device)
        inference.run_all((), no_progress)
        inference.update_clicks(points, no_progress)
        inference.update_clicks(points[:1], no_progress)
        labels.append(inference.labels.array.tobytes())
        assert type(inference._logits).__name__ == ("MemoryStore" if session_engine is engine or room else "NullStore")

    assert labels[0] == labels[1]
    assert any(labels[0])
