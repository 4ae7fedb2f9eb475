"""Memory of a process with a session, without the network: PET of 400 x 400 x 326 voxels, two classes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.ndimage import zoom

from benchmarks.memory import peak_resident_bytes
from benchmarks.stub_engine import StubEngine
from benchmarks.table import Row, publish
from clickseg.clicks.click import Click, Polarity
from clickseg.core.memory import Memory
from clickseg.datasets.phantom import write_series
from clickseg.models.package import ModelPackage, load_package
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session
from tests.helpers import phantoms

_SHAPE = (326, 400, 400)
_SPACING_MM = (3.0, 2.04, 2.05)
_ROI = (128, 128, 128)
_OVERLAP = 0.25
_CLICKS = 20
_COARSE_VOXELS = 16
_GIB = 1 << 30
_LIMITS_GIB = (16, 2, 1)


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    with tempfile.TemporaryDirectory() as folder:
        study, model = Path(folder, "study"), Path(folder, "model")
        _write_study(study)
        _write_model(model)
        rows = [_row(study, model, limit) for limit in _LIMITS_GIB]
    publish("session_memory", f"Memory of a process with a session, {_CLICKS} clicks, without the network", rows)


def _row(study: Path, model: Path, limit_gib: int) -> Row:
    peak = peak_resident_bytes(make_session, study, model, limit_gib * _GIB)
    return {"limit GiB": limit_gib, "peak GiB": round(peak / _GIB, 2), "within limit": str(peak <= limit_gib * _GIB)}


def make_session(study: Path, model: Path, limit_bytes: int) -> Callable[[], object]:
    """Returns a function that runs a session with clicks; it also reads the series, so that the series is measured."""
    memory = Memory(limit_bytes, Path(tempfile.gettempdir()))
    return partial(_run_session, study, load_package(model), _make_smooth_engine(), memory)


def _make_smooth_engine() -> StubEngine:
    """Returns an engine whose logits are as smooth as those of trained networks, with regions in each window."""
    rng = np.random.default_rng(1)
    coarse = [
        rng.normal(-0.5, 1, (1, 2, *(size // _COARSE_VOXELS for size in _ROI))).astype(np.float32) for _ in range(3)
    ]
    logits = tuple(zoom(array, (1, 1, _COARSE_VOXELS, _COARSE_VOXELS, _COARSE_VOXELS), order=1) for array in coarse)
    return StubEngine(logits, logits[0].copy())


def _run_session(study: Path, package: ModelPackage, engine: StubEngine, memory: Memory) -> None:
    series = phantoms.read(study)
    indices = np.random.default_rng(3).uniform(0, np.array(_SHAPE) - 1, (_CLICKS, 3))
    with Session(series, package, engine=engine, options=SessionOptions(memory=memory)) as session:
        session.wait()
        for x, y, z in series.volume.map_indices_to_reference(indices):
            session.add_click(Click("hook", Polarity.FOREGROUND, (float(x), float(y), float(z))))


def _write_study(folder: Path) -> None:
    rows, columns = _SPACING_MM[1:]
    geometry = phantoms.oblique_geometry(
        _SHAPE, axes=np.eye(3), pixel_spacing=(rows, columns), slice_spacing=_SPACING_MM[0]
    )
    values = np.random.default_rng(1).integers(0, 9, _SHAPE[1:]).astype(np.float32)
    write_series(folder, geometry.with_array(np.repeat(values[np.newaxis], _SHAPE[0], axis=0)), phantoms.header("CT"))


def _write_model(folder: Path) -> None:
    """Writes a model on the grid of the series; its network is never run."""
    section = phantoms.metadata(
        window={"roi": _ROI, "overlap": _OVERLAP},
        grid={"spacing_mm": [_SPACING_MM[2], _SPACING_MM[1], _SPACING_MM[0]], "orientation": "LPS"},
        guidance=phantoms.GUIDANCE,
        postprocessing={"min_volume_ml": 1.0},
    )
    phantoms.write_linear_model(folder, section, weights=[[0, 0, 0], [1, 1, -1]], bias=[0, 0])
