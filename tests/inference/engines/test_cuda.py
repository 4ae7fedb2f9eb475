"""What only a GPU can show: its logits against the CPU's, the same bytes again, and arrays that lie on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from tests.helpers.networks import NETWORK, package
from tests.helpers.oracles import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
BATCH = np.random.default_rng(0).normal(size=(4, 3, 8, 8, 8)).astype(np.float32)


@pytest.fixture(params=["instance", "batch"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> ModelPackage:
    """A network that is laid out channels first, and one that is laid out channels last."""
    return package(tmp_path / "unet", NETWORK | {"norm": request.param})


def on_gpu(model: ModelPackage, precision: Precision) -> Engine:
    return make_engine(model, RuntimeSettings(Runtime.TORCH, "cuda", precision))


@pytest.mark.parametrize(
    ("precision", "tolerance"), [(Precision.F32, 1e-4), (Precision.F16, 2e-2), (Precision.BF16, 2e-1)]
)
def test_a_gpu_says_what_the_cpu_says_and_the_same_bytes_again(
    model: ModelPackage, precision: Precision, tolerance: float
) -> None:
    exact = make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)).infer(BATCH)
    engine = on_gpu(model, precision)

    first = engine.infer(BATCH)
    engine.infer(BATCH * 2)

    np.testing.assert_allclose(first, exact, atol=tolerance)
    assert np.array_equal(engine.infer(BATCH), first)
    assert np.array_equal(on_gpu(model, precision).infer(BATCH), first)


def test_a_gpu_computes_in_f16_and_takes_several_windows_at_once(model: ModelPackage) -> None:
    engine = on_gpu(model, Precision.AUTO)

    assert (engine.precision, engine.batch) == ("f16", 4)


@pytest.mark.parametrize("on_a_stream_of_its_own", [False, True])
def test_an_array_of_cupy_gives_one_with_the_same_bytes(model: ModelPackage, on_a_stream_of_its_own: bool) -> None:
    cupy = pytest.importorskip("cupy")
    engine = on_gpu(model, Precision.F16)
    expected = engine.infer(BATCH)
    stream = cupy.cuda.Stream(non_blocking=True) if on_a_stream_of_its_own else cupy.cuda.Stream.null

    with stream:
        said = []
        for number in range(20):  # windows that are still being made, in memory that was just freed
            windows = cupy.asarray(BATCH) * 2**number / 2**number
            said.append(engine.infer(windows) + 0)
            del windows
    cupy.cuda.Device().synchronize()

    assert isinstance(said[0], cupy.ndarray)
    assert all(np.array_equal(cupy.asnumpy(each), expected) for each in said)


def test_the_memory_of_a_cupy_array_is_not_copied(model: ModelPackage) -> None:
    cupy = pytest.importorskip("cupy")
    engine = on_gpu(model, Precision.F32)
    seen: list[int] = []
    network = engine._network
    engine._network = lambda windows: seen.append(windows.data_ptr()) or network(windows)
    windows = cupy.asarray(BATCH)

    engine.infer(windows)

    assert seen[0] == windows.data.ptr or engine._layout is torch.channels_last_3d


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision.F32, 1e-4), (Precision.F16, 2e-2)])
def test_tensorrt_says_what_the_cpu_says_and_from_the_cache_the_same_bytes_again(
    model: ModelPackage, tmp_path: Path, precision: Precision, tolerance: float
) -> None:
    pytest.importorskip("tensorrt")
    pytest.importorskip("onnxscript")
    exact = make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)).infer(BATCH)
    engine = make_engine(model, RuntimeSettings(Runtime.TENSORRT, "cuda", precision, tmp_path))

    first = engine.infer(BATCH)

    np.testing.assert_allclose(first, exact, atol=tolerance)
    assert np.array_equal(engine.infer(BATCH), first)
    again = make_engine(model, RuntimeSettings(Runtime.TENSORRT, "cuda", precision, tmp_path))
    assert again.describe() == engine.describe()
    assert np.array_equal(again.infer(BATCH), first)


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision.F32, 1e-4), (Precision.F16, 2e-2)])
def test_half_the_batch_says_almost_the_same(model: ModelPackage, precision: Precision, tolerance: float) -> None:
    engine = on_gpu(model, precision)
    half = engine.smaller()

    assert (engine.batch, half.batch) == (4, 2)
    halves = [half.infer(BATCH[:2]), half.infer(BATCH[2:])]
    np.testing.assert_allclose(np.concatenate(halves), engine.infer(BATCH), atol=tolerance)
