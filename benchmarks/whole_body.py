"""Clicks in a whole-body PET: background clicks in organs, and a foreground click in the tumour."""

from __future__ import annotations

from pathlib import Path

import edt
import numpy as np

from benchmarks.cases import PetCase, dice, position_mm, read_whole_body_pet
from benchmarks.table import Row, publish
from clickseg.clicks.click import Click, Point, Polarity
from clickseg.clicks.simulated.clicker import Clicker, VoxelChoice
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
    """Runs the benchmark; prints and stores its table."""
    case, package = read_whole_body_pet(data), load_package(_MODEL)
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO))
    far = edt.edt(~case.tumour, anisotropy=_spacing(case)) > _FAR_MM
    rows = [*_background_clicks(case, far, package, engine), _foreground_click(case, far, package, engine)]
    publish("whole_body", "Clicks in the whole-body PET of STS_001 (a training patient), one after another", rows)


def _background_clicks(case: PetCase, far: Mask, package: ModelPackage, engine: Engine) -> list[Row]:
    """Measures background clicks in the deepest voxel of each of the largest false regions, without postprocessing."""
    with Session(case.series, package, engine=engine, options=SessionOptions(postprocessing=False)) as session:
        session.wait()
        organs = _largest_regions(session.label_map.mask(1) & ~case.tumour, _ORGANS)
        rows = [_row(case, far, "none", session.label_map.mask(1), None)]
        for number, organ in enumerate(organs, 1):
            if (organ & session.label_map.mask(1)).any():
                session.add_clicks([_click(case, organ & session.label_map.mask(1), Polarity.BACKGROUND)])
            rows.append(_row(case, far, f"background, in false region {number}", session.label_map.mask(1), organ))
    return rows


def _foreground_click(case: PetCase, far: Mask, package: ModelPackage, engine: Engine) -> Row:
    with Session(case.series, package, engine=engine) as session:
        session.add_clicks([_click(case, case.tumour, Polarity.FOREGROUND)])
        return _row(case, far, "foreground, in the tumour; postprocessing on", session.label_map.mask(1), None)


def _largest_regions(mask: Mask, count: int) -> list[Mask]:
    regions = Regions(mask)
    masks = []
    for number in np.argsort(-regions.voxel_counts)[:count]:
        region, full_mask = regions.region(int(number) + 1), np.zeros(mask.shape, bool)
        full_mask[region.box] = region.mask
        masks.append(full_mask)
    return masks


def _click(case: PetCase, mask: Mask, polarity: Polarity) -> Click:
    voxel = Clicker(VoxelChoice.LARGEST, _spacing(case)).choose_voxel(mask, np.random.default_rng(0))
    return Click("lesion", polarity, position_mm(case.series, np.array(voxel, np.float64)))


def _spacing(case: PetCase) -> Point:
    k, j, i = (float(step) for step in case.series.volume.spacing)
    return k, j, i


def _row(case: PetCase, far: Mask, click: str, mask: Mask, organ: Mask | None) -> Row:
    voxel_ml = float(case.series.volume.voxel_volume) / 1000
    far_ml = float(sum(region.sum() for region in _largest_regions(mask & far, 1)) * voxel_ml)
    return {
        "click": click,
        "region before the click, ml": "" if organ is None else f"{organ.sum() * voxel_ml:.1f}",
        "region left after the click, %": "" if organ is None else f"{100 * (organ & mask).sum() / organ.sum():.1f}",
        "segmented, ml": round(float(mask.sum() * voxel_ml), 1),
        f"segmented over {_FAR_MM:g} mm from the tumour, ml": round(float((mask & far).sum() * voxel_ml), 1),
        f"largest region over {_FAR_MM:g} mm from the tumour, ml": round(far_ml, 1),
        "Dice": round(dice(mask, case.tumour), 3),
    }
