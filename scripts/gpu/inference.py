"""Measures inference on a GPU: SW-FastEdit in full and for each click, and a whole job compared with MONAI."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import Float32Array, FloatArray, LabelArray
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from clickseg.session.session import Session
from scripts.gpu.inference_cases import DRY_SIZES, Sizes, make_segresnet, make_series, make_sw_fastedit, random_clicks
from scripts.gpu.monai_job import MonaiJob
from scripts.gpu.results import Row, StageOptions, write_rows
from scripts.gpu.utilization import measure_load
from tests.helpers.full_run import segment_series

RESULT = "inference.json"

_PET_SPACING_MM = (3.0, 2.04, 2.05)
_CT_SPACING_MM = (1.5, 0.8, 0.8)

_ON_CPU = "MONAI f32, transforms on the CPU"
"""The last method, which is run once: the CPU needs up to a minute to interpolate 14 channels of 300 x 512 x 512."""


def measure_clicks(series: SeriesVolume, package: ModelPackage, sizes: Sizes, device: str, precision: Precision) -> Row:
    """Measures SW-FastEdit: a full run, and each click of a session, whose label map must be that of a full run.

    Args:
        series: The series.
        package: The model of SW-FastEdit.
        sizes: The numbers of measurements and clicks.
        device: The device of the network.
        precision: The precision of the network.
    """
    engine = make_engine(package, RuntimeSettings(Runtime.TORCH, device, precision))
    clicks = random_clicks(series, sizes.clicks)
    with measure_load(device) as load:
        expected, full_s = _measure(
            lambda: segment_series([series], Clicks(tuple(clicks)), package, engine).labels.array, device, sizes.repeats
        )
        with Session(series, package, engine=engine) as session:
            session.wait()
            changes = [session.add_click(click) for click in clicks]
            labels, window_count = session.label_map.array.copy(), session.window_count
    return {
        "method": f"SW-FastEdit {engine.precision}",
        "windows": window_count,
        "full run s": round(full_s, 3),
        "click s, median": round(median(change.seconds for change in changes), 3),
        "click s, maximum": round(max(change.seconds for change in changes), 3),
        "peak GPU GB": load.peak_gb,
        "identical bytes": str(labels.tobytes() == expected.tobytes()),
    }


def measure_jobs(folder: Path, sizes: Sizes, device: str) -> Iterator[Row]:
    """Yields a row for each whole job from an array in memory to a label map, with MONAI and with ClickSeg.

    Args:
        folder: An empty folder.
        sizes: The sizes.
        device: The device of the network.
    """
    series = make_series(sizes.ct, _CT_SPACING_MM, folder / "series", 2)
    package, network = make_segresnet(folder / "model", sizes)
    network.to(device)
    values, affine = series.volume.array.T, _affine_in_ras(series)
    on_gpu = {
        "MONAI f32": MonaiJob(network, sizes.ct_window, device, device),
        "MONAI AMP f16": MonaiJob(network, sizes.ct_window, device, device, uses_amp=True),
        "MONAI TF32": MonaiJob(network, sizes.ct_window, device, device, allows_tf32=True),
    }
    methods: dict[str, Callable[[], LabelArray]] = {
        **{name: partial(_run_monai, job, values, affine) for name, job in on_gpu.items()},
        **{
            f"ClickSeg {precision.value}": _clickseg_job(series, package, device, precision)
            for precision in (Precision.F16, Precision.F32)
        },
        _ON_CPU: partial(_run_monai, MonaiJob(network, sizes.ct_window, device, "cpu"), values, affine),
    }
    reference_s, reference = 0.0, np.empty(0, np.uint8)
    for name, job in methods.items():
        with measure_load(device) as load:
            labels, seconds = _measure(job, device, 0 if name == _ON_CPU else sizes.repeats)
        if not reference_s:
            reference_s, reference = seconds, labels
        yield {
            "method": name,
            "s": round(seconds, 3),
            "speed-up": round(reference_s / seconds, 2),
            "peak GPU GB": load.peak_gb,
            "identical labels %": round(100 * float((labels == reference).mean()), 3),
        }


def _run_monai(job: MonaiJob, values: Float32Array, affine: FloatArray) -> LabelArray:
    return job.run(values, affine).T


def _clickseg_job(
    series: SeriesVolume, package: ModelPackage, device: str, precision: Precision
) -> Callable[[], LabelArray]:
    engine = make_engine(package, RuntimeSettings(Runtime.TORCH, device, precision))
    return lambda: segment_series([series], Clicks(), package, engine).labels.array


def _affine_in_ras(series: SeriesVolume) -> FloatArray:
    """Returns the affine matrix of the volume [I, J, K] in RAS mm."""
    affine: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0]) @ series.volume.affine @ np.eye(4)[:, [2, 1, 0, 3]]
    return affine


def _measure(job: Callable[[], LabelArray], device: str, repeats: int) -> tuple[LabelArray, float]:
    """Returns the label map of a job and its median time in s.

    The first run compiles kernels: it is measured only if there is no other run.
    """
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        labels = job()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return labels, median(times[1:] or times)


def measure_all(folder: Path, sizes: Sizes, device: str, precisions: Sequence[Precision]) -> Iterator[Row]:
    """Yields the rows of the result file, in order of value.

    Args:
        folder: An empty folder.
        sizes: The sizes.
        device: The device of the networks.
        precisions: The precisions of SW-FastEdit.
    """
    series = make_series(sizes.pet, _PET_SPACING_MM, folder / "series", 1)
    package = make_sw_fastedit(folder / "model", sizes, _PET_SPACING_MM)
    first, *others = precisions
    yield measure_clicks(series, package, sizes, device, first)
    yield from measure_jobs(folder / "job", sizes, device)
    for precision in others:
        yield measure_clicks(series, package, sizes, device, precision)


def run(options: StageOptions) -> None:
    """Measures inference; rows that are measured remain if the time is over."""
    device, sizes = ("cpu", DRY_SIZES) if options.dry else ("cuda", Sizes())
    precisions = (Precision.F32,) if options.dry else (Precision.F16, Precision.F32)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure_all(Path(folder), sizes, device, precisions):
            rows.append(row)
            write_rows(options.output / RESULT, rows)
