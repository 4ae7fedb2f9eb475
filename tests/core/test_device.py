"""On a GPU all stays there until the classes are decided, and the loops give the bytes that they give on the host."""

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
from clickseg.core.device import HOST, Cuda, Device, device_of
from clickseg.core.errors import DeviceMemoryError
from clickseg.core.memory import Memory
from clickseg.core.progress import no_progress
from clickseg.inference.case import Predicted, Prepared
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.cuda_runtime import has_cuda_device
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.incremental import IncrementalInference
from clickseg.inference.intensity import fitted
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_input import Scaled, Whole
from clickseg.inference.pipeline import _infer_on, infer
from clickseg.inference.preprocess import make_case, prepare
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import load_package
from clickseg.models.spec import PercentileScaling, RangeScaling, Scaling, SquareRootScaling, ZScoreScaling
from tests.helpers import phantoms, runs
from tests.helpers.duck import Duck, FakeDevice

SCALINGS = [
    RangeScaling(kind="range", a_min=-9, a_max=9),
    RangeScaling(kind="range", a_min=9, a_max=9, clip=False),
    SquareRootScaling(kind="square_root", maximum=8),
    PercentileScaling(kind="percentile", lower=2, upper=98),
    ZScoreScaling(kind="zscore", nonzero=True),
]


class Stays:
    """A network whose windows and logits are on a device."""

    device = "cuda"
    precision = "f32"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batch, self.weights, self.describe = engine.batch, engine.weights, engine.describe

    def infer(self, batch: Duck) -> Duck:
        return Duck(self._engine.infer(np.ascontiguousarray(batch.there)).copy())


def prepared(folder: Path, **changes: object) -> tuple[Prepared, Engine]:
    series = phantoms.read(runs.write_input(folder / "in") / "CT")
    package = load_package(runs.write_model(folder / "models", **changes) / "thresholder")
    clicks = Clicks((runs.click(9, 11, 13), runs.click(3, 3, 4, polarity=Polarity.BACKGROUND)))
    return prepare(make_case([series], clicks, package)), make_engine(
        package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)
    )


def inferred(device: Device, case: Prepared, engine: Engine, folder: Path) -> Predicted:
    return _infer_on(device, case, engine, no_progress, KernelChoice(), Memory(1 << 40, folder))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("spacing_mm", [[1.5, 1.5, 2.0], None], ids=["resampled", "as it is"])
def test_nothing_comes_back_to_the_host_before_it_is_decided(
    tmp_path: Path, activation: str, spacing_mm: list[float] | None
) -> None:
    grid = {"grid": {"spacing_mm": spacing_mm, "orientation": "RAS"}} if spacing_mm else {}
    case, engine = prepared(tmp_path, activation=activation, **grid)

    there = inferred(FakeDevice(), case, Stays(engine), tmp_path)

    here = inferred(HOST, case, engine, tmp_path)
    assert (there.windows.logits, here.windows.logits) == ("gpu", "memory")
    assert here.labels.array.any()
    assert isinstance(there.labels.array, np.ndarray)
    assert there.labels.array.tobytes() == here.labels.array.tobytes()


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda scaling: scaling.kind)
def test_values_are_scaled_where_they_are(scaling: Scaling) -> None:
    values = np.random.default_rng(3).integers(-10, 10, (4, 5, 6)).astype(np.float32)
    here = Scaled(Whole(values), fitted(scaling, lambda: [values]))

    device, part = FakeDevice(), (slice(1, 3), slice(0, 5), slice(2, 6))
    with device.working():
        there = device.get(here.on(device).part(part))

    assert there.tobytes() == here.part(part).tobytes()


def test_the_device_of_an_engine_is_its_gpu_where_cupy_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert device_of("cpu") is HOST
    assert device_of("cuda:1") is HOST


def test_a_cupy_that_cannot_be_imported_is_said_and_the_host_does_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "cupy", None)  # as Python does where an import failed

    assert device_of("cuda") is HOST
    assert "CuPy cannot be used, the host does its work" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuda_device(), reason="no CUDA device")
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_gpu_gives_the_labels_of_the_host(tmp_path: Path, activation: str) -> None:
    pytest.importorskip("cupy")
    case, engine = prepared(tmp_path, activation=activation)
    gpu = Cuda(0)

    class There(Stays):
        def infer(self, batch):
            return gpu.put(self._engine.infer(gpu.get(batch)).copy())

    there = inferred(gpu, case, There(engine), tmp_path)

    here = inferred(HOST, case, engine, tmp_path)
    assert there.labels.array.tobytes() == here.labels.array.tobytes()


class Greedy(Stays):
    """A network whose device has room for some windows, and for blending there or not."""

    def __init__(self, engine: Engine, batch: int, fits: int, blends: bool) -> None:
        super().__init__(engine)
        self.batch, self._fits, self._blends = batch, fits, blends
        self.describe = lambda: {"batch": batch}

    def smaller(self) -> Greedy | None:
        return Greedy(self._engine, self.batch // 2, self._fits, self._blends) if self.batch > 1 else None

    def infer(self, batch):
        is_there = isinstance(batch, Duck)
        assert len(batch) == self.batch
        if len(batch) > self._fits or (is_there and not self._blends):
            raise DeviceMemoryError("the memory of the device is full", hint="use another one")
        windows = batch.there if is_there else batch
        logits = np.concatenate([self._engine.infer(window[np.newaxis]).copy() for window in windows])
        return Duck(logits) if is_there else logits


@pytest.mark.parametrize(
    ("fits", "blends", "batch", "logits"), [(4, True, 4, "gpu"), (2, True, 2, "gpu"), (1, False, 1, "memory")]
)
def test_a_full_device_is_answered_by_smaller_batches_and_then_by_the_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fits: int,
    blends: bool,
    batch: int,
    logits: str,
) -> None:
    device = FakeDevice()
    monkeypatch.setattr("clickseg.inference.pipeline.device_of", lambda _: device)
    case, engine = prepared(tmp_path)

    found = infer(case, Greedy(engine, 4, fits, blends), no_progress, KernelChoice(), Memory(1 << 40, tmp_path))

    assert (found.engine["batch"], found.windows.logits) == (batch, logits)
    assert len(caplog.records) == {4: 0, 2: 1, 1: 3}[batch]
    assert device.alive_at_release == [0] * len(caplog.records)  # all that a try had taken is free for the next one
    here = inferred(HOST, case, engine, tmp_path)
    assert found.labels.array.tobytes() == here.labels.array.tobytes()


def test_a_device_without_room_for_a_window_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clickseg.inference.pipeline.device_of", lambda _: FakeDevice())
    case, engine = prepared(tmp_path)

    with pytest.raises(DeviceMemoryError, match="the memory of the device is full") as raised:
        infer(case, Greedy(engine, 4, 0, False), no_progress, KernelChoice(), Memory(1 << 40, tmp_path))

    assert raised.value.hint == "use another one"
    assert raised.value.__context__ is None


class Gpu:
    """What of CuPy and torch has to do with memory; torch keeps some of it, until it is asked to give it back."""

    class OutOfMemoryError(MemoryError):
        pass

    def __init__(self, number: int, room: int, of_torch: int) -> None:
        self.id, self.room, self.of_torch = number, room, of_torch
        self.mem_info = (room, room)
        self.present: list[int] = [0]
        self.freed: list[int] = []
        self.cuda = SimpleNamespace(
            Device=lambda _: self,
            memory=SimpleNamespace(OutOfMemoryError=self.OutOfMemoryError),
            using_allocator=self.using_allocator,
            empty_cache=self.empty_cache,
        )

    def __enter__(self) -> None:
        self.present.append(self.id)

    def __exit__(self, *_: object) -> None:
        self.present.pop()

    @contextmanager
    def using_allocator(self, allocator: Callable[[int], str]) -> Iterator[None]:
        self.allocator = allocator
        yield

    def get_default_pinned_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_all_blocks=lambda: None)

    def get_default_memory_pool(self) -> Gpu:
        return self

    def free_all_blocks(self) -> None:
        self.freed.append(self.present[-1])

    def empty_cache(self) -> None:
        self.room, self.of_torch = self.room + self.of_torch, 0

    def malloc(self, size: int) -> str:
        if size > self.room:
            raise self.OutOfMemoryError("Out of memory allocating")
        self.room -= size
        return "memory"


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    made = Gpu(1, room=4, of_torch=2)
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "cupy", made)
    monkeypatch.setitem(sys.modules, "torch", made)
    return made


def test_work_is_done_on_the_gpu_that_was_taken_and_its_memory_is_given_back(gpu: Gpu) -> None:
    with Cuda(1).working():
        assert gpu.present == [0, 1]

    assert (gpu.present, gpu.freed) == ([0], [1])


def test_a_gpu_is_full_when_torch_keeps_nothing_more(gpu: Gpu) -> None:
    with Cuda(1).working():
        assert gpu.allocator(5) == "memory"
    assert (gpu.room, gpu.of_torch) == (1, 0)

    with pytest.raises(DeviceMemoryError, match="CUDA device 1: Out of memory allocating"), Cuda(1).working():
        gpu.allocator(2)


def test_a_home_that_cannot_be_written_does_not_keep_from_the_gpu(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "0")

    Cuda(1)
    assert os.environ["CUPY_CACHE_IN_MEMORY"] == "0"

    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "home" / ".cupy"))
    Cuda(1)
    assert os.environ["CUPY_CACHE_IN_MEMORY"] == "1"
    assert Path(os.environ["CUPY_CACHE_DIR"]).is_dir()


def test_without_torch_a_gpu_is_full_at_once(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")

    with pytest.raises(DeviceMemoryError), Cuda(1).working():
        gpu.allocator(5)


@pytest.mark.parametrize("room", [1 << 40, 0], ids=["kept", "nowhere"])
def test_a_session_is_on_the_device_and_keeps_logits_there_where_they_fit(tmp_path: Path, room: int) -> None:
    case, engine = prepared(tmp_path)
    devices = [HOST, FakeDevice(room)]
    points = case.case.clicks.points
    labels = []

    for each, device in zip((engine, Stays(engine)), devices, strict=True):
        inference = IncrementalInference(case, each, Memory(1 << 40, tmp_path), KernelChoice(), device=device)
        inference.run_all((), no_progress)
        inference.move_to(points, no_progress)
        inference.move_to(points[:1], no_progress)
        labels.append(inference.labels.array.tobytes())
        assert type(inference._logits).__name__ == ("InMemory" if each is engine or room else "NullStore")

    assert labels[0] == labels[1]
    assert any(labels[0])
