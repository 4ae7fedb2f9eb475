"""Models of nnU-Net: labels, time and memory of ClickSeg, compared with nnU-Net itself in the same run.

``CLICKSEG_NNUNET_PYTHON`` names the Python of an environment with nnU-Net, if this one does not have it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np

from benchmarks.memory import peak_resident_bytes
from benchmarks.nnunet_images import labels_in_itk_order, smooth_series, write_case, write_organs
from benchmarks.nnunet_models import COMPARED, MEASURED, TIMED, write_trained_model
from benchmarks.nnunet_process import NnunetProcess, nnunet_python, nnunet_version, predict_files
from benchmarks.table import Row, publish
from clickseg.clicks.click import Clicks
from clickseg.core.arrays import LabelArray
from clickseg.core.errors import LibraryError
from clickseg.core.memory import machine_memory
from clickseg.core.progress import no_progress
from clickseg.dicom.volume import SeriesVolume
from clickseg.evaluation.original.image_file import in_itk_order
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.pipeline import infer
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.translation_cache import translate
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage, load_package
from tests.helpers import phantoms

_BAR_EQUAL_PERCENT = 99.95
_BAR_SPEED_UP = {"bf16": 4.0, "f32": 2.5}
_BAR_MEMORY_RATIO = 2.0
_REPEATS = 3
_NNUNET = "nnU-Net"
_TIMED_SHAPE, _TIMED_MM = (96, 120, 180), (1.0, 0.8, 0.79)
_MEASURED_SHAPE, _MEASURED_MM = (300, 512, 512), (1.5, 0.8, 0.79)
_COLUMNS = (
    *("model", "measured", "nnU-Net", "ClickSeg", "ratio", "bar", "met", "ratio of CPU time"),
    *("equal voxels %", "Dice of the worst class", "Dice with ClickSeg f32", "load of the machine before"),
)


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    try:
        python = nnunet_python(os.environ)
    except LibraryError as error:
        raise SystemExit(f"nnunet: {error}: {error.hint}") from error
    with TemporaryDirectory() as folder:
        makers = (label_rows, time_rows, memory_rows)
        rows = [row for make_rows in makers for row in make_rows(Path(folder), python)]
    publish_rows(rows, python)


def publish_rows(rows: list[Row], python: str) -> None:
    """Prints and stores the table."""
    publish(
        "nnunet",
        f"Models of nnU-Net: ClickSeg, and nnU-Net {nnunet_version(python)} on the CPU (torch f32); times are medians "
        f"of {_REPEATS} interleaved runs",
        rows,
    )


def label_rows(folder: Path, python: str) -> Iterator[Row]:
    """Yields the agreement of labels of small models with those of nnU-Net's command."""
    for number, model in enumerate(COMPARED):
        source = write_trained_model(folder / f"compared{number}", model)
        series = smooth_series(folder / f"images{number}", model.channels)
        theirs = predict_files(python, source, write_case(folder / f"case{number}", series), folder / f"out{number}")
        package = _package(source)
        agreement = _agreement(_segment(series, package, _engine(package, Precision.F32)), theirs)
        equal = agreement["equal voxels %"]
        met = str(equal >= _BAR_EQUAL_PERCENT)
        yield _row({"model": model.name, "measured": "labels, f32", "bar": _BAR_EQUAL_PERCENT, "met": met, **agreement})


def time_rows(folder: Path, python: str) -> Iterator[Row]:
    """Yields the time from an array to labels, without and with mirroring, in processes that are warm."""
    source = write_trained_model(folder / "timed", TIMED)
    series = phantoms.read(write_organs(folder / "timed_series", _TIMED_SHAPE, _TIMED_MM))
    package = _package(source)
    with NnunetProcess(python, source, [in_itk_order(series.volume)[0].array], series.volume.spacing) as process:
        _timed_runs(process, [series], package, mirroring=False, repeats=1)  # compiles and allocates
        for mirroring in (False, True):
            load = {"load of the machine before": round(os.getloadavg()[0], 1)}
            runs = _timed_runs(process, [series], package, mirroring=mirroring, repeats=_REPEATS)
            name = f"{TIMED.name}, {'8 mirror images' if mirroring else 'no mirroring'}"
            for row in _compare_times(runs):
                yield _row({"model": name, **row, **load})


def memory_rows(folder: Path, python: str) -> Iterator[Row]:
    """Yields the peak memory of a process that has the model and the image in memory, and predicts labels."""
    source, result = write_trained_model(folder / "measured", MEASURED), folder / "labels.npy"
    images = write_organs(folder / "measured_series", _MEASURED_SHAPE, _MEASURED_MM)
    volume = phantoms.read(images).volume
    with NnunetProcess(python, source, [in_itk_order(volume)[0].array], volume.spacing) as process:
        theirs = process.predict(mirroring=False)
    peak = peak_resident_bytes(make_segmentation, images, _package(source).path, result)
    ratio = theirs.peak_bytes / peak
    yield _row(
        {
            "model": f"{MEASURED.name}, 512 x 512 x 300 voxels",
            "measured": "peak memory, GB",
            "nnU-Net": round(theirs.peak_bytes / 1e9, 2),
            "ClickSeg": round(peak / 1e9, 2),
            **_ratio(ratio, _BAR_MEMORY_RATIO),
            **_agreement(np.load(result), theirs.labels),
        }
    )


def make_segmentation(images: Path, package: Path, result: Path) -> Callable[[], object]:
    """Returns the segmentation of a series that is in memory, in f32; it stores the labels."""
    series, model = phantoms.read(images), load_package(package)
    engine = _engine(model, Precision.F32)
    return lambda: np.save(result, _segment([series], model, engine))


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of one method.

    Attributes:
        labels: The labels.
        seconds: The time from the array to the labels.
        cpu_seconds: The time of all cores.
    """

    labels: LabelArray
    seconds: float
    cpu_seconds: float


def _timed_runs(
    process: NnunetProcess, series: list[SeriesVolume], package: ModelPackage, *, mirroring: bool, repeats: int
) -> dict[str, list[_Run]]:
    """Returns interleaved runs of nnU-Net, of ClickSeg in f32, and of ClickSeg in its default precision."""
    precisions = (Precision.F32, Precision.AUTO)
    engines = [_engine(package, precision, mirroring=mirroring) for precision in precisions]
    runs: dict[str, list[_Run]] = {_NNUNET: [], **{engine.precision: [] for engine in engines}}
    for _ in range(repeats):
        theirs = process.predict(mirroring=mirroring)
        runs[_NNUNET].append(_Run(theirs.labels, theirs.seconds, theirs.cpu_seconds))
        for engine in engines:
            start, cpu_start = perf_counter(), process_time()
            labels = _segment(series, package, engine)
            runs[engine.precision].append(_Run(labels, perf_counter() - start, process_time() - cpu_start))
    return runs


def _compare_times(runs: Mapping[str, list[_Run]]) -> Iterator[Row]:
    """Yields a row for each precision of ClickSeg."""
    theirs, in_f32 = runs[_NNUNET], runs[Precision.F32.value][-1].labels
    for precision in [method for method in runs if method != _NNUNET]:
        ours = runs[precision]
        nnunet_s, clickseg_s = (median(run.seconds for run in each) for each in (theirs, ours))
        nnunet_cpu_s, clickseg_cpu_s = (median(run.cpu_seconds for run in each) for each in (theirs, ours))
        yield {
            "measured": f"time, s, {precision}",
            "nnU-Net": round(nnunet_s, 2),
            "ClickSeg": round(clickseg_s, 2),
            **_ratio(nnunet_s / clickseg_s, _BAR_SPEED_UP[precision]),
            "ratio of CPU time": round(nnunet_cpu_s / clickseg_cpu_s, 2),
            **_agreement(ours[-1].labels, theirs[-1].labels),
            "Dice with ClickSeg f32": _agreement(ours[-1].labels, in_f32)["Dice of the worst class"],
        }


def _package(source: Path) -> ModelPackage:
    return translate(source, ImportOptions(), source.parent / "cache")


def _engine(package: ModelPackage, precision: Precision, *, mirroring: bool = True) -> Engine:
    return make_engine(package, RuntimeSettings(Runtime.AUTO, "cpu", precision, mirroring=mirroring))


def _segment(series: list[SeriesVolume], package: ModelPackage, engine: Engine) -> LabelArray:
    """Returns the labels [K, J, I], with slices as nnU-Net has them."""
    preprocessed = preprocess(make_case(series, Clicks(), package))
    labels = infer(preprocessed, engine, no_progress, KernelChoice(), machine_memory()).labels.array
    return labels_in_itk_order(series[0], labels)


def _agreement(ours: LabelArray, theirs: LabelArray) -> dict[str, float]:
    classes = sorted(({*np.unique(ours)} | {*np.unique(theirs)}) - {0})
    masks = [(ours == number, theirs == number) for number in classes]
    dice = min(float(2 * (first & second).sum() / (first.sum() + second.sum())) for first, second in masks)
    return {"equal voxels %": round(100 * float((ours == theirs).mean()), 4), "Dice of the worst class": round(dice, 5)}


def _ratio(ratio: float, bar: float) -> Row:
    return {"ratio": round(ratio, 2), "bar": bar, "met": str(ratio >= bar)}


def _row(cells: Mapping[str, str | float]) -> Row:
    row: Row = {column: cells.get(column, "-") for column in _COLUMNS}
    print(*row.values(), sep=" | ", flush=True)
    return row
