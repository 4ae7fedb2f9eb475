"""Clicks in a whole body: background clicks remove organs, and a click in the tumour leaves nothing far from it."""

from __future__ import annotations

from pathlib import Path

import edt
import numpy as np

from benchmarks.cases import Case, dice, position_mm, whole_body_pet
from benchmarks.table import Row, publish
from clickseg.clicks.click import Click, Point, Polarity
from clickseg.clicks.simulated.clicker import Choice, Clicker
from clickseg.clicks.simulated.regions import Regions
from clickseg.core.arrays import Mask
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session

_MODEL = Path(__file__).parents[1] / "models" / "pet_lesion"
_ORGANS = 3
_FAR_MM = 50.0


def run(data: Path) -> None:
    """Measures, prints and keeps the table."""
    case, package = whole_body_pet(data), load_package(_MODEL)
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO))
    far = edt.edt(~case.tumour, anisotropy=_spacing(case)) > _FAR_MM
    rows = [*_background_clicks(case, far, package, engine), _one_click(case, far, package, engine)]
    publish("whole_body", "Clicks in the whole body of STS_001 (a training patient), one after another", rows)


def _background_clicks(case: Case, far: Mask, package: ModelPackage, engine: Engine) -> list[Row]:
    """Clicks into the deepest voxel of each of the largest false regions, without postprocessing."""
    with Session(case.series, package, engine=engine, options=SessionOptions(postprocessing=False)) as session:
        session.wait()
        organs = _largest(session.labels.mask(1) & ~case.tumour, _ORGANS)
        rows = [_row(case, far, "none", session.labels.mask(1), None)]
        for number, organ in enumerate(organs, 1):
            if (organ & session.labels.mask(1)).any():
                session.add_clicks([_click(case, organ & session.labels.mask(1), Polarity.BACKGROUND)])
            rows.append(_row(case, far, f"background, in false region {number}", session.labels.mask(1), organ))
    return rows


def _one_click(case: Case, far: Mask, package: ModelPackage, engine: Engine) -> Row:
    with Session(case.series, package, engine=engine) as session:
        session.add_clicks([_click(case, case.tumour, Polarity.FOREGROUND)])
        return _row(case, far, "foreground, in the tumour; postprocessing on", session.labels.mask(1), None)


def _largest(mask: Mask, count: int) -> list[Mask]:
    regions = Regions(mask)
    found = []
    for number in np.argsort(-regions.voxels)[:count]:
        region, whole = regions.region(int(number) + 1), np.zeros(mask.shape, bool)
        whole[region.box] = region.mask
        found.append(whole)
    return found


def _click(case: Case, mask: Mask, polarity: Polarity) -> Click:
    voxel = Clicker(Choice.LARGEST, _spacing(case)).inside(mask, np.random.default_rng(0))
    return Click("lesion", polarity, position_mm(case.series, np.array(voxel, np.float64)))


def _spacing(case: Case) -> Point:
    k, j, i = (float(step) for step in case.series.volume.spacing)
    return k, j, i


def _row(case: Case, far: Mask, click: str, found: Mask, organ: Mask | None) -> Row:
    ml = float(case.series.volume.voxel_volume) / 1000
    return {
        "click": click,
        "the region before, ml": "" if organ is None else f"{organ.sum() * ml:.1f}",
        "what is left of it, %": "" if organ is None else f"{100 * (organ & found).sum() / organ.sum():.1f}",
        "found, ml": round(float(found.sum() * ml), 1),
        f"beyond {_FAR_MM:g} mm of the tumour, ml": round(float((found & far).sum() * ml), 1),
        "largest region there, ml": round(float(sum(each.sum() for each in _largest(found & far, 1)) * ml), 1),
        "Dice": round(dice(found, case.tumour), 3),
    }
