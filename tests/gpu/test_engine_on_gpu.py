"""Networks on a GPU: logits compared with those of the CPU, reproducible bytes, and arrays on the GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from tests.helpers.networks import NETWORK, make_package
from tests.helpers.oracles import torch

pytestmark = pytest.mark.gpu
BATCH = np.random.default_rng(0).normal(size=(4, 3, 8, 8, 8)).astype(np.float32)


@pytest.fixture(params=["instance", "batch"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> ModelPackage:
    """A network that is run channels first, and one that is run channels last."""
    return make_package(tmp_path / "unet", NETWORK | {"norm": request.param})


def make_torch_engine(model: ModelPackage, device: str, precision: Precision) -> Engine:
    return make_engine(model, RuntimeSettings(Runtime.TORCH, device, precision))


@pytest.mark.parametrize(
    ("precision", "tolerance"), [(Precision.F32, 1e-4), (Precision.F16, 2e-2), (Precision.BF16, 2e-1)]
)
def test_the_logits_of_a_gpu_are_close_to_the_cpu_and_reproducible(
    model: ModelPackage, device: str, precision: Precision, tolerance: float
) -> None:
    exact = make_torch_engine(model, "cpu", Precision.F32).infer(BATCH)
    engine = make_torch_engine(model, device, precision)

    first = engine.infer(BATCH)
    engine.infer(BATCH * 2)

    np.testing.assert_allclose(first, exact, atol=tolerance)
    assert np.array_equal(engine.infer(BATCH), first)
    assert np.array_equal(make_torch_engine(model, device, precision).infer(BATCH), first)


def test_by_default_a_gpu_uses_f16_and_batches(model: ModelPackage, cuda: str) -> None:
    engine = make_torch_engine(model, cuda, Precision.AUTO)

    assert (engine.precision, engine.batch) == ("f16", 4)


@pytest.mark.parametrize("uses_own_stream", [False, True])
def test_a_cupy_array_gives_a_cupy_array_with_the_same_bytes(
    model: ModelPackage, cuda: str, uses_own_stream: bool
) -> None:
    cupy = pytest.importorskip("cupy")
    engine = make_torch_engine(model, cuda, Precision.F16)
    expected = engine.infer(BATCH)
    stream = cupy.cuda.Stream(non_blocking=True) if uses_own_stream else cupy.cuda.Stream.null

    with stream:
        results = []
        for number in range(20):  # windows that are still being computed, in memory that was just freed
            windows = cupy.asarray(BATCH) * 2**number / 2**number
            results.append(engine.infer(windows) + 0)
            del windows
    cupy.cuda.Device().synchronize()

    assert isinstance(results[0], cupy.ndarray)
    assert all(np.array_equal(cupy.asnumpy(logits), expected) for logits in results)


def test_the_memory_of_a_cupy_array_is_not_copied(model: ModelPackage, cuda: str) -> None:
    cupy = pytest.importorskip("cupy")
    engine = make_torch_engine(model, cuda, Precision.F32)
    addresses: list[int] = []
    network = engine._network
    engine._network = lambda windows: addresses.append(windows.data_ptr()) or network(windows)
    windows = cupy.asarray(BATCH)

    engine.infer(windows)

    assert addresses[0] == windows.data.ptr or engine._layout is torch.channels_last_3d


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision.F32, 1e-4), (Precision.F16, 2e-2)])
def test_the_logits_of_tensorrt_are_close_to_the_cpu_and_reproducible_with_the_cache(
    model: ModelPackage, cuda: str, tmp_path: Path, precision: Precision, tolerance: float
) -> None:
    pytest.importorskip("tensorrt")
    pytest.importorskip("onnxscript")
    exact = make_torch_engine(model, "cpu", Precision.F32).infer(BATCH)
    engine = make_engine(model, RuntimeSettings(Runtime.TENSORRT, cuda, precision, tmp_path))

    first = engine.infer(BATCH)

    np.testing.assert_allclose(first, exact, atol=tolerance)
    assert np.array_equal(engine.infer(BATCH), first)
    reloaded = make_engine(model, RuntimeSettings(Runtime.TENSORRT, cuda, precision, tmp_path))
    assert reloaded.describe() == engine.describe()
    assert np.array_equal(reloaded.infer(BATCH), first)


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision.F32, 1e-4), (Precision.F16, 2e-2)])
def test_half_the_batch_size_gives_almost_the_same_logits(
    model: ModelPackage, cuda: str, precision: Precision, tolerance: float
) -> None:
    engine = make_torch_engine(model, cuda, precision)
    half = engine.with_half_batch()

    assert (engine.batch, half.batch) == (4, 2)
    halves = [half.infer(BATCH[:2]), half.infer(BATCH[2:])]
    np.testing.assert_allclose(np.concatenate(halves), engine.infer(BATCH), atol=tolerance)
