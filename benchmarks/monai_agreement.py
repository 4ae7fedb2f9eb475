"""ClickSeg's sliding window compared with MONAI's, on the same network and input: agreement of labels, and time."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.cases import read_whole_body_pet
from benchmarks.table import Row, publish
from clickseg.core.arrays import Float32Array, full_box
from clickseg.core.progress import no_progress
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.engines.torch_engine import load_network
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_input import ModelInput
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import collect_volume
from clickseg.inference.windows import Window
from clickseg.models.package import load_package
from clickseg.models.spec import ModelSpec, WindowSpec

_MODEL = Path(__file__).parents[1] / "models" / "pet_lesion"
_REPEATS = 5
_FULL_SLICES = (slice(None), slice(None), slice(None))


def run(data: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    case, package = read_whole_body_pet(data), load_package(_MODEL)
    spec = package.spec
    inputs = preprocess(make_case([case.series], case.clicks, package)).inputs
    full_window = Window((0, 0, 0), inputs.shape, _FULL_SLICES, _FULL_SLICES)
    channels = inputs.window_input(full_window, inputs.crop_images(full_box(inputs.shape)))
    network = load_network(package).eval()
    engines = {
        "OpenVINO f32": make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)),
        "torch f32": make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)),
        "OpenVINO auto": make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("MONAI", *engines)}
    for _ in range(_REPEATS):
        reference, elapsed = _run_monai(channels, network, spec.window)
        seconds["MONAI"].append(elapsed)
        logits = {}
        for name, engine in engines.items():
            logits[name], elapsed = _run_clickseg(inputs, engine, spec)
            seconds[name].append(elapsed)
    rows = [_row(name, label_logits, reference, seconds) for name, label_logits in logits.items()]
    publish(
        "monai_agreement",
        f"ClickSeg and MONAI SlidingWindowInferer (torch f32), median of {_REPEATS} interleaved runs",
        rows,
    )


def _run_monai(inputs: Float32Array, network: torch.nn.Module, spec: WindowSpec) -> tuple[Float32Array, float]:
    inferer = SlidingWindowInferer(spec.roi, sw_batch_size=1, overlap=spec.overlap, mode="gaussian")
    start = perf_counter()
    with torch.inference_mode():
        logits = inferer(torch.from_numpy(inputs)[None], network)[0].numpy()
    return logits, perf_counter() - start


def _run_clickseg(inputs: ModelInput, engine: Engine, spec: ModelSpec) -> tuple[Float32Array, float]:
    start = perf_counter()
    window = SlidingWindow(inputs, spec)
    kernels = KernelChoice()(window.addition_count)
    label_logits = collect_volume(window.blended_planes(engine, kernels, no_progress), window.grid.axis)
    return label_logits, perf_counter() - start


def _row(name: str, logits: Float32Array, reference: Float32Array, seconds: dict[str, list[float]]) -> Row:
    differs = (logits[0] > 0) != (reference[1] > reference[0])
    margin = np.abs(reference[1] - reference[0])[differs]
    return {
        "engine": name,
        "identical labels %": round(100 * (1 - float(differs.mean())), 6),
        "largest logit margin of a differing voxel": round(float(margin.max(initial=0)), 6),
        "MONAI s": round(median(seconds["MONAI"]), 2),
        "ClickSeg s": round(median(seconds[name]), 2),
        "speed-up over MONAI": round(median(seconds["MONAI"]) / median(seconds[name]), 2),
    }
