"""Stitching and argmax alone, the network's own time left out: ClickSeg's streaming against MONAI's whole volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import highdicom as hd
import numpy as np
import torch
from monai.inferers import sliding_window_inference

from benchmarks.answers import Answers, ct_spec
from benchmarks.memory import peak_bytes
from benchmarks.table import Row, publish
from clickseg.core.arrays import Numbers, Triple, Values
from clickseg.core.progress import no_progress
from clickseg.inference.decision import Decision
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_input import ModelInput, Whole
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.windows import WindowGrid

_SHAPE: Triple = (224, 224, 256)
_ROI: Triple = (96, 96, 96)
_REPEATS = 5


def run(_: Path) -> None:
    """Measures, prints and keeps the table."""
    publish(
        "stitching",
        f"Stitching and argmax of {' x '.join(map(str, _SHAPE))} voxels, ROI {_ROI[0]}, overlap 0.5, Gaussian, without "
        f"the network's own time; median of {_REPEATS}, in turn",
        [_row(channels) for channels in (105, 3)],
    )


def _row(channels: int) -> Row:
    ours, monai = make_ours(channels), make_monai(channels)
    seconds: dict[str, list[float]] = {"ours": [], "MONAI": []}
    for _ in range(_REPEATS):
        network = _network_seconds(channels)
        found, elapsed = _timed(ours)
        seconds["ours"].append(elapsed - network)
        reference, elapsed = _timed(monai)
        seconds["MONAI"].append(elapsed - network)
    peaks = {"ours": peak_bytes(make_ours, channels), "MONAI": peak_bytes(make_monai, channels)}
    return {
        "classes": channels,
        "same label %": round(100 * float((found == reference).mean()), 5),
        "MONAI s": round(median(seconds["MONAI"]), 2),
        "ClickSeg s": round(median(seconds["ours"]), 3),
        "times less time": round(median(seconds["MONAI"]) / median(seconds["ours"]), 1),
        "MONAI GB": round(peaks["MONAI"] / 1e9, 2),
        "ClickSeg GB": round(peaks["ours"] / 1e9, 2),
        "times less memory": round(peaks["MONAI"] / peaks["ours"], 1),
    }


def _network_seconds(channels: int) -> float:
    """Returns how long the network takes for all windows."""
    answers, window = Answers.of(channels, _ROI), np.zeros((1, 1, 1, 1, 1), np.float32)
    start = perf_counter()
    for _ in WindowGrid.over(_SHAPE, ct_spec(channels, _ROI, 1.0).window):
        answers.infer(window)
    return perf_counter() - start


def make_ours(channels: int) -> Callable[[], Numbers]:
    """Returns ClickSeg's way from an image to labels."""
    spec, geometry = ct_spec(channels, _ROI, 1.0), hd.VolumeGeometry(np.diag([-1.0, -1.0, 1.0, 1.0]), _SHAPE, "PATIENT")
    answers = Answers.of(channels, _ROI)
    window = SlidingWindow(ModelInput((Whole(_image()),), ()), spec)
    kernels = KernelChoice()(window.additions)

    def work() -> Numbers:
        decision = Decision(geometry, geometry, spec, window.grid.axis, kernels)
        for planes in window.planes(answers, kernels, no_progress):
            decision.take(planes)
        return decision.label_map().array

    return work


def make_monai(channels: int) -> Callable[[], Numbers]:
    """Returns MONAI's way from an image to labels."""
    image = torch.from_numpy(_image())[None, None]
    answers = Answers.of(channels, _ROI)

    def predict(batch: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(answers.infer(batch.numpy()))

    def work() -> Numbers:
        with torch.inference_mode():
            logits = sliding_window_inference(image, _ROI, 1, predict, overlap=0.5, mode="gaussian")
            labels: Numbers = logits[0].argmax(0).to(torch.uint8).numpy()
        return labels

    return work


def _image() -> Values:
    return np.random.default_rng(2).integers(0, 1000, _SHAPE).astype(np.float32)


def _timed(work: Callable[[], Numbers]) -> tuple[Numbers, float]:
    start = perf_counter()
    labels = work()
    return labels, perf_counter() - start
