"""One window of two networks with seeded random weights: OpenVINO in each precision compared with torch f32 eager.

The int8 networks are calibrated on other random windows with the same distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import openvino as ov
import torch
from monai.networks.nets import DynUNet, SegResNet

from benchmarks.networks import SW_FASTEDIT
from benchmarks.table import Row, publish
from clickseg.core.arrays import Float32Array, Mask
from clickseg.inference.engines.openvino_engine import openvino_core
from clickseg.inference.engines.quantize import quantize_network

_REPEATS = 7
_CALIBRATION_WINDOWS = 4


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    torch.manual_seed(0)
    rows = [
        *_rows("SegResNet, 1 x 1 x 64 x 128 x 128", SegResNet(out_channels=1), (1, 1, 64, 128, 128)),
        *_rows("DynUNet of SW-FastEdit, 1 x 3 x 128 x 128 x 128", sw_fastedit(), (1, 3, 128, 128, 128)),
    ]
    publish("one_window", f"One window compared with torch f32 eager, median of {_REPEATS} interleaved runs", rows)


def sw_fastedit() -> torch.nn.Module:
    """Returns the network of SW-FastEdit."""
    network: torch.nn.Module = DynUNet(**SW_FASTEDIT)
    return network


def _rows(network_name: str, network: torch.nn.Module, shape: tuple[int, ...]) -> list[Row]:
    window = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    runtimes = {"torch f32": _torch(network.eval())} | {
        f"OpenVINO {precision}": _openvino(network, shape, precision) for precision in ("f32", "bf16", "int8")
    }
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    logits = {name: infer(window) for name, infer in runtimes.items()}  # the first call allocates buffers
    for _ in range(_REPEATS):
        for name, infer in runtimes.items():
            start = perf_counter()
            infer(window)
            seconds[name].append(perf_counter() - start)
    reference = logits["torch f32"]
    return [
        {
            "network": network_name,
            "runtime": name,
            "s": round(median(seconds[name]), 3),
            "speed-up over torch f32": round(median(seconds["torch f32"]) / median(seconds[name]), 2),
            "identical labels %": round(100 * float(np.mean(_labels(logits[name]) == _labels(reference))), 3),
            "relative L2 error": float(f"{np.linalg.norm(logits[name] - reference) / np.linalg.norm(reference):.2g}"),
        }
        for name in runtimes
    ]


def _labels(logits: Float32Array) -> Mask:
    """Returns the label of each voxel: by the sign of a single channel, by the higher of two channels."""
    return logits[:, 0] > (0 if logits.shape[1] == 1 else logits[:, 1])


def _torch(network: torch.nn.Module) -> Callable[[Float32Array], Float32Array]:
    def infer(window: Float32Array) -> Float32Array:
        with torch.inference_mode():
            logits: Float32Array = network(torch.from_numpy(window)).numpy()
        return logits

    return infer


def _openvino(
    network: torch.nn.Module, shape: tuple[int, ...], precision: str
) -> Callable[[Float32Array], Float32Array]:
    model = ov.convert_model(network, example_input=torch.zeros(shape), input=list(shape))
    if precision == "int8":
        rng = np.random.default_rng(2)
        model = quantize_network(
            model, [rng.normal(size=shape[1:]).astype(np.float32) for _ in range(_CALIBRATION_WINDOWS)]
        )
    hint = "f32" if precision == "int8" else precision
    request = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint}).create_infer_request()

    def infer(window: Float32Array) -> Float32Array:
        logits: Float32Array = request.infer([window])[0]
        return logits

    return infer
