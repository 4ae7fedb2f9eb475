"""Stitching and argmax without the time of the network: ClickSeg plane by plane, MONAI on the complete volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import highdicom as hd
import numpy as np
import torch
from monai.inferers import sliding_window_inference

from benchmarks.memory import peak_growth_bytes
from benchmarks.stub_engine import StubEngine, ct_spec
from benchmarks.table import Row, publish
from clickseg.core.arrays import Float32Array, LabelArray, Triple
from clickseg.core.progress import no_progress
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.label_assignment import LabelAssigner
from clickseg.inference.model_grid import ModelGrid
from clickseg.inference.model_input import InMemoryImage, ModelInput
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.windows import WindowGrid

_SHAPE: Triple = (224, 224, 256)
_ROI: Triple = (96, 96, 96)
_REPEATS = 5


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    publish(
        "stitching",
        f"Stitching and argmax of {' x '.join(map(str, _SHAPE))} voxels, ROI {_ROI[0]}, overlap 0.5, Gaussian, without "
        f"the time of the network; median of {_REPEATS} interleaved runs",
        [_row(channels) for channels in (105, 3)],
    )


def _row(channels: int) -> Row:
    run_clickseg, run_monai = make_clickseg(channels), make_monai(channels)
    seconds: dict[str, list[float]] = {"ClickSeg": [], "MONAI": []}
    for _ in range(_REPEATS):
        network_s = _network_seconds(channels)
        labels, elapsed = _time_run(run_clickseg)
        seconds["ClickSeg"].append(elapsed - network_s)
        reference, elapsed = _time_run(run_monai)
        seconds["MONAI"].append(elapsed - network_s)
    peaks = {"ClickSeg": peak_growth_bytes(make_clickseg, channels), "MONAI": peak_growth_bytes(make_monai, channels)}
    return {
        "classes": channels,
        "identical labels %": round(100 * float((labels == reference).mean()), 5),
        "MONAI s": round(median(seconds["MONAI"]), 2),
        "ClickSeg s": round(median(seconds["ClickSeg"]), 3),
        "speed-up over MONAI": round(median(seconds["MONAI"]) / median(seconds["ClickSeg"]), 1),
        "MONAI GB": round(peaks["MONAI"] / 1e9, 2),
        "ClickSeg GB": round(peaks["ClickSeg"] / 1e9, 2),
        "memory of MONAI / ClickSeg": round(peaks["MONAI"] / peaks["ClickSeg"], 1),
    }


def _network_seconds(channels: int) -> float:
    """Returns the time that the network needs for all windows."""
    engine, window = StubEngine.random(channels, _ROI), np.zeros((1, 1, 1, 1, 1), np.float32)
    start = perf_counter()
    for _ in WindowGrid.cover(_SHAPE, ct_spec(channels, _ROI, 1.0).window):
        engine.infer(window)
    return perf_counter() - start


def make_clickseg(channels: int) -> Callable[[], LabelArray]:
    """Returns a function that segments an image with ClickSeg."""
    spec, geometry = ct_spec(channels, _ROI, 1.0), hd.VolumeGeometry(np.diag([-1.0, -1.0, 1.0, 1.0]), _SHAPE, "PATIENT")
    engine = StubEngine.random(channels, _ROI)
    window = SlidingWindow(ModelInput((InMemoryImage(_image()),), ()), spec)
    kernels = KernelChoice()(window.addition_count)

    def segment() -> LabelArray:
        assigner = LabelAssigner(ModelGrid.between(geometry, geometry), spec, window.grid.axis, kernels)
        for planes in window.blended_planes(engine, kernels, no_progress):
            assigner.update(planes)
        return assigner.label_map().array

    return segment


def make_monai(channels: int) -> Callable[[], LabelArray]:
    """Returns a function that segments an image with MONAI."""
    image = torch.from_numpy(_image())[None, None]
    engine = StubEngine.random(channels, _ROI)

    def predict(batch: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(engine.infer(batch.numpy()))

    def segment() -> LabelArray:
        with torch.inference_mode():
            logits = sliding_window_inference(image, _ROI, 1, predict, overlap=0.5, mode="gaussian")
            labels: LabelArray = logits[0].argmax(0).to(torch.uint8).numpy()
        return labels

    return segment


def _image() -> Float32Array:
    return np.random.default_rng(2).integers(0, 1000, _SHAPE).astype(np.float32)


def _time_run(segment: Callable[[], LabelArray]) -> tuple[LabelArray, float]:
    start = perf_counter()
    labels = segment()
    return labels, perf_counter() - start
