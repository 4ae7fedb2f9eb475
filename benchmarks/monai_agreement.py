"""ClickSeg's sliding window against MONAI's on the same network and input: agreement of labels, and time in turn."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.cases import whole_body_pet
from benchmarks.table import Row, publish
from clickseg.core.arrays import Values, whole
from clickseg.core.progress import no_progress
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.engines.torch_engine import load_state
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_input import ModelInput
from clickseg.inference.preprocess import make_case, prepare
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import collected
from clickseg.inference.windows import Window
from clickseg.models.package import load_package
from clickseg.models.spec import ModelSpec, WindowSpec

_MODEL = Path(__file__).parents[1] / "models" / "pet_lesion"
_REPEATS = 5
_WHOLE = (slice(None), slice(None), slice(None))


def run(data: Path) -> None:
    """Measures, prints and keeps the table."""
    case, package = whole_body_pet(data), load_package(_MODEL)
    spec = package.spec
    inputs = prepare(make_case([case.series], case.clicks, package)).inputs
    everything = Window((0, 0, 0), inputs.shape, _WHOLE, _WHOLE)
    channels = inputs.window(everything, inputs.part(whole(inputs.shape)))
    network = load_state(package).eval()
    engines = {
        "OpenVINO f32": make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)),
        "torch f32": make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)),
        "OpenVINO auto": make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("MONAI", *engines)}
    for _ in range(_REPEATS):
        reference, elapsed = _monai(channels, network, spec.window)
        seconds["MONAI"].append(elapsed)
        logits = {}
        for name, engine in engines.items():
            logits[name], elapsed = _ours(inputs, engine, spec)
            seconds[name].append(elapsed)
    rows = [_row(name, found, reference, seconds) for name, found in logits.items()]
    publish("monai_agreement", f"ClickSeg against MONAI SlidingWindowInferer (torch f32), median of {_REPEATS}", rows)


def _monai(inputs: Values, network: torch.nn.Module, spec: WindowSpec) -> tuple[Values, float]:
    inferer = SlidingWindowInferer(spec.roi, sw_batch_size=1, overlap=spec.overlap, mode="gaussian")
    start = perf_counter()
    with torch.inference_mode():
        logits = inferer(torch.from_numpy(inputs)[None], network)[0].numpy()
    return logits, perf_counter() - start


def _ours(inputs: ModelInput, engine: Engine, spec: ModelSpec) -> tuple[Values, float]:
    start = perf_counter()
    window = SlidingWindow(inputs, spec)
    kernels = KernelChoice()(window.additions)
    difference = collected(window.planes(engine, kernels, no_progress), window.grid.axis)
    return difference, perf_counter() - start


def _row(name: str, logits: Values, reference: Values, seconds: dict[str, list[float]]) -> Row:
    differs = (logits[0] > 0) != (reference[1] > reference[0])
    margin = np.abs(reference[1] - reference[0])[differs]
    return {
        "engine": name,
        "same label %": round(100 * (1 - float(differs.mean())), 6),
        "largest margin of a voxel that differs": round(float(margin.max(initial=0)), 6),
        "MONAI s": round(median(seconds["MONAI"]), 2),
        "ClickSeg s": round(median(seconds[name]), 2),
        "ratio": round(median(seconds["MONAI"]) / median(seconds[name]), 2),
    }
