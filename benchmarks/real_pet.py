"""The default PET model on a real whole-body PET: Dice and volume by precision, with and without postprocessing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks.cases import PetCase, dice, read_whole_body_pet
from benchmarks.table import Row, publish
from clickseg.clicks.click import Clicks
from clickseg.core.arrays import Mask
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.quantize import quantize
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow, constant_channel_values
from clickseg.models.package import ModelPackage, load_package
from tests.helpers.full_run import segment_series

_MODEL = Path(__file__).parents[1] / "models" / "pet_lesion"


def run(data: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    case = read_whole_body_pet(data)
    with tempfile.TemporaryDirectory() as folder:
        package = _quantize_package(case, Path(folder, _MODEL.name))
        rows = _rows(case, package)
    publish(
        "real_pet",
        "Default PET model on STS_001 (a training patient), 96 windows; ground truth: the contour of an expert",
        rows,
    )


def _rows(case: PetCase, package: ModelPackage) -> list[Row]:
    rows: list[Row] = []
    for clicks in (case.clicks, Clicks()):
        for postprocessing in (True, False):
            reference: Mask | None = None
            for precision in (Precision.F32, Precision.AUTO, Precision.INT8):
                row, mask = _measure(case, package, precision, postprocessing, clicks)
                reference = mask if reference is None else reference
                rows.append({**row, "Dice with f32": round(dice(mask, reference), 4)})
    return rows


def _quantize_package(case: PetCase, folder: Path) -> ModelPackage:
    """Returns a copy of the package with an int8 network, calibrated on windows of the same case with its clicks."""
    shutil.copytree(_MODEL, folder)
    package = load_package(folder)
    inputs = preprocess(make_case([case.series], case.clicks, package)).inputs
    windows = [
        window
        for window in SlidingWindow(inputs, package.spec).window_inputs()
        if constant_channel_values(window) is None
    ]
    quantize(package, windows)
    return load_package(folder)


def _measure(
    case: PetCase, package: ModelPackage, precision: Precision, postprocessing: bool, clicks: Clicks
) -> tuple[Row, Mask]:
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", precision))
    start = perf_counter()
    result = segment_series([case.series], clicks, package, engine, postprocessing=postprocessing)
    seconds, mask = perf_counter() - start, result.labels.mask(1)
    row: Row = {
        "precision": engine.precision,
        "clicks": f"{len(clicks.points)}",
        "postprocessing": "on" if postprocessing else "off",
        "Dice": round(dice(mask, case.tumour), 4),
        "segmented ml": round(float(mask.sum() * case.series.volume.voxel_volume / 1000), 1),
        "ground truth ml": round(float(case.tumour.sum() * case.series.volume.voxel_volume / 1000), 1),
        "seconds": round(seconds, 2),
    }
    return row, mask
