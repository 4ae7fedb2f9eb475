"""One window of two networks with seeded random weights: OpenVINO in each precision against torch f32 eager.

int8 is calibrated on other windows of the same random values.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import openvino as ov
import torch
from monai.networks.nets import DynUNet, SegResNet

from benchmarks.table import Row, publish
from clickseg.core.arrays import Mask, Values
from clickseg.inference.engines.quantize import quantized

SW_FASTEDIT: dict[str, Any] = {
    "spatial_dims": 3,
    "in_channels": 3,
    "out_channels": 2,
    "kernel_size": [3, 3, 3, 3, 3, 3],
    "strides": [1, 2, 2, 2, 2, [2, 2, 1]],
    "upsample_kernel_size": [2, 2, 2, 2, [2, 2, 1]],
    "norm_name": "instance",
    "deep_supervision": False,
    "res_block": True,
}
"""The arguments of MONAI's DynUNet that make the network of SW-FastEdit."""

_REPEATS = 7
_CALIBRATION_WINDOWS = 4


def run(_: Path) -> None:
    """Measures, prints and keeps the table."""
    torch.manual_seed(0)
    rows = [
        *_rows("SegResNet, 1 x 1 x 64 x 128 x 128", SegResNet(out_channels=1), (1, 1, 64, 128, 128)),
        *_rows("DynUNet of SW-FastEdit, 1 x 3 x 128 x 128 x 128", sw_fastedit(), (1, 3, 128, 128, 128)),
    ]
    publish("one_window", f"One window against torch f32 eager, median of {_REPEATS}, in turn", rows)


def sw_fastedit() -> torch.nn.Module:
    """Returns the network of SW-FastEdit."""
    network: torch.nn.Module = DynUNet(**SW_FASTEDIT)
    return network


def _rows(name: str, network: torch.nn.Module, shape: tuple[int, ...]) -> list[Row]:
    window = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    ways = {"torch f32": _torch(network.eval())} | {
        f"OpenVINO {precision}": _openvino(network, shape, precision) for precision in ("f32", "bf16", "int8")
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    said = {way: infer(window) for way, infer in ways.items()}  # the first call makes ready
    for _ in range(_REPEATS):
        for way, infer in ways.items():
            start = perf_counter()
            infer(window)
            seconds[way].append(perf_counter() - start)
    reference = said["torch f32"]
    return [
        {
            "network": name,
            "runtime": way,
            "s": round(median(seconds[way]), 3),
            "times less": round(median(seconds["torch f32"]) / median(seconds[way]), 2),
            "same label %": round(100 * float(np.mean(_labels(said[way]) == _labels(reference))), 3),
            "relative L2 error": float(f"{np.linalg.norm(said[way] - reference) / np.linalg.norm(reference):.2g}"),
        }
        for way in ways
    ]


def _labels(logits: Values) -> Mask:
    """Returns what each voxel is labelled: one channel is decided by its sign, of two the higher one wins."""
    return logits[:, 0] > (0 if logits.shape[1] == 1 else logits[:, 1])


def _torch(network: torch.nn.Module) -> Callable[[Values], Values]:
    def infer(window: Values) -> Values:
        with torch.inference_mode():
            logits: Values = network(torch.from_numpy(window)).numpy()
        return logits

    return infer


def _openvino(network: torch.nn.Module, shape: tuple[int, ...], precision: str) -> Callable[[Values], Values]:
    model = ov.convert_model(network, example_input=torch.zeros(shape), input=list(shape))
    if precision == "int8":
        rng = np.random.default_rng(2)
        model = quantized(model, [rng.normal(size=shape[1:]).astype(np.float32) for _ in range(_CALIBRATION_WINDOWS)])
    hint = "f32" if precision == "int8" else precision
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint}).create_infer_request()

    def infer(window: Values) -> Values:
        logits: Values = request.infer([window])[0]
        return logits

    return infer
