"""Clicks in a session compared with a full run: windows and time for each click, and whether the results are equal."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import numpy as np
import torch
from scipy.ndimage import zoom

from benchmarks.cases import read_whole_body_pet
from benchmarks.networks import SW_FASTEDIT
from benchmarks.one_window import sw_fastedit
from benchmarks.table import Row, publish
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.arrays import FloatArray, LabelArray
from clickseg.datasets.phantom import write_series
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.engines.export import export_openvino
from clickseg.inference.engines.quantize import quantize
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.weights_files import write_weight_digests
from clickseg.session.session import Session
from tests.helpers import phantoms
from tests.helpers.full_run import segment_series

_PET_LESION = Path(__file__).parents[1] / "models" / "pet_lesion"
_SHAPE = (326, 400, 400)
_SPACING_MM = (3.0, 2.04, 2.05)
_CALIBRATION_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class _SessionCase:
    """A series, a model, its precision, and the number of clicks."""

    name: str
    series: SeriesVolume
    package: ModelPackage
    click_count: int
    precision: Precision = Precision.AUTO


def run(data: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    with tempfile.TemporaryDirectory() as folder:
        whole_body = _SessionCase(
            "pet_lesion, STS_001", read_whole_body_pet(data).series, load_package(_PET_LESION), 30
        )
        sw_fastedit = _sw_fastedit(Path(folder))
        rows = [_row(whole_body), _row(sw_fastedit), _row(_quantize_case(sw_fastedit))]
    publish(
        "clicks",
        "Random clicks in a session, compared with a full run with the same clicks; median over the clicks",
        rows,
    )


def _row(case: _SessionCase) -> Row:
    engine = make_engine(case.package, RuntimeSettings(Runtime.OPENVINO, "cpu", case.precision))
    clicks = _random_clicks(case)
    with Session(case.series, case.package, engine=engine) as session:
        session.wait()
        before = _resident_bytes()
        changes = [session.add_click(click) for click in clicks]
        growth_bytes = _resident_bytes() - before
        labels, windows = session.label_map.array, session.window_count
        full_s, expected = _run_in_full(case, engine, clicks)
    click_s = median(change.seconds for change in changes)
    return {
        "case": case.name,
        "precision": engine.precision,
        "windows": windows,
        "clicks": case.click_count,
        "mean windows run per click": round(mean(change.windows_run for change in changes), 2),
        "full run s": round(full_s, 2),
        "click s": round(click_s, 2),
        "speed-up over full run": round(full_s / click_s, 1),
        "identical bytes": str(labels.tobytes() == expected.tobytes()),
        "memory growth MB": round(growth_bytes / 1e6),
    }


def _run_in_full(case: _SessionCase, engine: Engine, clicks: list[Click]) -> tuple[float, LabelArray]:
    start = perf_counter()
    result = segment_series([case.series], Clicks(tuple(clicks)), case.package, engine)
    return perf_counter() - start, result.labels.array


def _random_clicks(case: _SessionCase) -> list[Click]:
    rng = np.random.default_rng(3)
    last = np.array(case.series.volume.spatial_shape) - 1
    positions: FloatArray = case.series.volume.map_indices_to_reference(rng.uniform(0, last, (case.click_count, 3)))
    polarities = rng.choice(2, case.click_count)
    label = case.package.spec.classes[0].name
    return [
        Click(label, list(Polarity)[polarity], (float(x), float(y), float(z)))
        for polarity, (x, y, z) in zip(polarities, positions, strict=True)
    ]


def _sw_fastedit(folder: Path) -> _SessionCase:
    """Returns the network of SW-FastEdit with random weights, and a PET of the size in its publication."""
    coarse = np.random.default_rng(1).gamma(1, 1.5, (22, 26, 26)).astype(np.float32)
    values = zoom(coarse, [size / coarse_size for size, coarse_size in zip(_SHAPE, coarse.shape, strict=True)], order=1)
    geometry = phantoms.oblique_geometry(
        _SHAPE, axes=np.eye(3), pixel_spacing=_SPACING_MM[1:], slice_spacing=_SPACING_MM[0]
    )
    write_series(folder / "study", geometry.with_array(np.round(np.clip(values, 0, 20), 2)), phantoms.header("CT"))
    polarities = ("foreground", "background")
    section = phantoms.metadata(
        window={"roi": [128, 128, 128], "overlap": 0.25},
        grid={"spacing_mm": [_SPACING_MM[2], _SPACING_MM[1], _SPACING_MM[0]], "orientation": "LPS"},
        guidance=phantoms.GUIDANCE | {"channels": [{"takes": [["hook", polarity]]} for polarity in polarities]},
    )
    torch.manual_seed(0)
    model = phantoms.write_package(
        folder / "sw_fastedit", section, {"_target_": "monai.networks.nets.DynUNet", **SW_FASTEDIT}
    )
    torch.save(sw_fastedit().state_dict(), model / "models" / "model.pt")
    write_weight_digests(load_package(model), ("model.pt",))
    export_openvino(load_package(model))
    return _SessionCase(
        "DynUNet of SW-FastEdit, 400 x 400 x 326", phantoms.read(folder / "study"), load_package(model), 100
    )


def _quantize_case(case: _SessionCase) -> _SessionCase:
    """Returns the same case with an int8 network, calibrated on some of its windows."""
    inputs = preprocess(make_case([case.series], Clicks(), case.package)).inputs
    interval = len(SlidingWindow(inputs, case.package.spec).grid) // _CALIBRATION_WINDOWS
    windows = SlidingWindow(inputs, case.package.spec).window_inputs()
    quantize(case.package, [window for number, window in enumerate(windows) if number % interval == 0])
    return replace(case, package=load_package(case.package.path), precision=Precision.INT8)


def _resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
