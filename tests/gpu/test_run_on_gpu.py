"""A run on a GPU: the same logits are blended and labelled to the same bytes on the GPU and on the host."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Clicks, Polarity
from clickseg.core.device import HOST, array_device
from clickseg.core.memory import Memory
from clickseg.core.progress import no_progress
from clickseg.inference.case import PreprocessedCase
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.pipeline import _infer_on_device, infer
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.session.session import Session
from tests.helpers import phantoms, runs
from tests.helpers.full_run import segment_series
from tests.helpers.networks import NETWORK, make_package
from tests.helpers.oracles import torch
from tests.helpers.sessions import click_at, model_description

pytestmark = pytest.mark.gpu
MEMORY_BYTES = 1 << 40
TWO_CLASSES = {
    "activation": "softmax",
    "output_channels": 3,
    "classes": [phantoms.organ("hook", 1), phantoms.organ("other", 2)],
}
SIGMOID = TWO_CLASSES | {
    "activation": "sigmoid",
    "output_channels": 2,
    "classes": [phantoms.organ("hook", 0), phantoms.organ("other", 1)],
}
OVERWRITE = SIGMOID | {"overwrite": True}


@pytest.fixture(params=["one class", "two classes", "sigmoid", "overwrite"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> PreprocessedCase:
    """A CT with clicks, and a network with random weights whose windows overlap."""
    changes = {"one class": {}, "two classes": TWO_CLASSES, "sigmoid": SIGMOID, "overwrite": OVERWRITE}[request.param]
    section = model_description(**changes)
    package = make_package(tmp_path / "unet", NETWORK | {"out_channels": section["output_channels"]}, section)
    series = phantoms.read(runs.write_input(tmp_path / "in") / "CT")
    clicks = Clicks((runs.click(9, 11, 13), runs.click(3, 3, 4, polarity=Polarity.BACKGROUND)))
    return preprocess(make_case([series], clicks, package))


def engine_of(case: PreprocessedCase, device: str, precision: Precision = Precision.F32) -> Engine:
    return make_engine(case.case.package, RuntimeSettings(Runtime.TORCH, device, precision))


def test_the_label_map_has_the_same_bytes_if_logits_are_blended_on_the_gpu_or_on_the_host(
    case: PreprocessedCase, device: str, tmp_path: Path
) -> None:
    engine, memory = engine_of(case, device), Memory(MEMORY_BYTES, tmp_path)

    on_gpu = infer(case, engine, no_progress, KernelChoice(), memory)

    on_host = _infer_on_device(HOST, case, engine, no_progress, KernelChoice(), memory)
    assert on_gpu.windows.logits_storage == ("memory" if array_device(device).is_host else "gpu")
    assert 0 < np.count_nonzero(on_host.labels.array) < on_host.labels.array.size
    assert on_gpu.labels.array.tobytes() == on_host.labels.array.tobytes()


def test_the_label_map_of_a_gpu_in_f32_is_that_of_the_cpu_except_at_ties(
    case: PreprocessedCase, device: str, tmp_path: Path
) -> None:
    label_maps = [
        infer(case, engine_of(case, name), no_progress, KernelChoice(), Memory(MEMORY_BYTES, tmp_path)).labels.array
        for name in (device, "cpu")
    ]

    assert (label_maps[0] == label_maps[1]).mean() > 0.999


def test_a_click_in_a_session_gives_the_bytes_of_a_full_run(case: PreprocessedCase, device: str) -> None:
    series, package = case.case.reference_series, case.case.package
    engine = engine_of(case, device)
    clicks = [click_at(series, 0.05, 0.05, 0.05), click_at(series, 0.95, 0.95, 0.95, polarity=Polarity.BACKGROUND)]

    with Session(series, package, engine=engine) as session:
        session.wait()
        changes = [session.add_click(click) for click in clicks]
        labels, window_count = session.label_map.array.copy(), session.window_count

    assert [0 < change.windows_run < window_count for change in changes] == [True, True], (changes, window_count)
    assert labels.tobytes() == segment_series([series], Clicks(tuple(clicks)), package, engine).labels.array.tobytes()


def test_a_gpu_with_too_little_memory_gives_the_result_of_smaller_batches_or_of_the_host(
    case: PreprocessedCase, cuda: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cupy = pytest.importorskip("cupy")
    engine = engine_of(case, cuda)
    expected = infer(case, engine, no_progress, KernelChoice(), Memory(MEMORY_BYTES, tmp_path))
    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=4096)  # less than one window
    try:
        limited = infer(case, engine, no_progress, KernelChoice(), Memory(MEMORY_BYTES, tmp_path))
    finally:
        pool.set_limit(size=0)

    assert limited.windows.logits_storage == "memory"
    assert "trying again with less device memory" in caplog.text
    assert (limited.labels.array == expected.labels.array).mean() > 0.999


def test_no_device_memory_remains_in_use_after_a_run(case: PreprocessedCase, cuda: str, tmp_path: Path) -> None:
    cupy = pytest.importorskip("cupy")
    engine = engine_of(case, cuda)
    infer(case, engine, no_progress, KernelChoice(), Memory(MEMORY_BYTES, tmp_path))
    gc.collect()  # the garbage of other tests
    before = torch.cuda.memory_allocated()

    for _ in range(3):
        infer(case, engine, no_progress, KernelChoice(), Memory(MEMORY_BYTES, tmp_path))

    assert cupy.get_default_memory_pool().used_bytes() == 0
    assert torch.cuda.memory_allocated() == before
