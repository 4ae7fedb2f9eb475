"""Whether clicks are obeyed: what is missed is added and what is false is removed, without postprocessing.

Each click of the CVPR 2025 protocol is a trial, in cases that the model has not seen. The errors that hang together
there can be a rim around the whole tumour; so those within 20 mm of the click are looked at as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.held_out import HeldOut, held_out, package_in
from benchmarks.table import Row, publish
from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.regions import Regions
from clickseg.core.arrays import Doubles, Indices, Mask, Triple
from clickseg.evaluation.evaluate import series_of
from clickseg.evaluation.protocols import ProtocolName, make_protocol
from clickseg.evaluation.trial import Model
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session

_CLICKS = 10
_NEAR_MM = 20.0
_FAR_MM = 100.0


@dataclass(frozen=True, slots=True)
class _Trial:
    """What became of the errors of one kind that hang together and were clicked.

    Attributes:
        modality: Of the image.
        polarity: Of the click.
        ml: How large the region was.
        mended: Which part of it is right after the click.
        mended_near: Which part of what lies near the click.
        changed_far_ml: How much changed far from the click.
    """

    modality: str
    polarity: Polarity
    ml: float
    mended: float
    mended_near: float
    changed_far_ml: float


def run(data: Path, runs: Path) -> None:
    """Measures, prints and keeps the table.

    Args:
        data: The dataset.
        runs: A folder of the folders of runs, one for each fold.
    """
    trials: dict[tuple[str, Polarity], list[_Trial]] = {}
    for each in held_out(data, runs):
        for trial in _trials(each):
            trials.setdefault((trial.modality, trial.polarity), []).append(trial)
    name = package_in(min(runs.iterdir())).name
    publish(
        f"obedience_{name}", f"Obedience of {name}, without postprocessing", [_row(each) for each in trials.values()]
    )


def _trials(each: HeldOut) -> Iterator[_Trial]:
    case, image = each.case, each.case.images[0]
    truth = case.truth.array > 0
    user = make_protocol(ProtocolName.CVPR2025, _CLICKS, None).user(truth, image)
    options = SessionOptions(postprocessing=False)
    with Session(series_of(case), each.package, engine=each.engine, options=options) as session:
        method = Model(session, case, each.package.spec, perf_counter())
        method.start()
        for step in range(1, _CLICKS + 1):
            before = method.found(1).copy()
            for click in user(step, before):
                method.take([(1, click)])
                spacing = np.array(case.truth.spacing)
                yield _trial(image.modality, click.voxel, truth, before, method.found(1), spacing)


def _trial(modality: str, voxel: Triple, truth: Mask, before: Mask, after: Mask, spacing: Doubles) -> _Trial:
    errors = (before != truth) & (truth == truth[voxel])
    region, ml = _around(voxel, errors), float(np.prod(spacing)) / 1000
    near = _distances_mm(region, voxel, spacing) <= _NEAR_MM
    is_right = (after == truth)[region]
    changed = np.nonzero(before != after)
    return _Trial(
        modality,
        Polarity.FOREGROUND if truth[voxel] else Polarity.BACKGROUND,
        len(is_right) * ml,
        float(is_right.mean()),
        float(is_right[near].mean()),
        float((_distances_mm(changed, voxel, spacing) > _FAR_MM).sum() * ml),
    )


def _around(voxel: Triple, mask: Mask) -> tuple[Indices, ...]:
    """Returns the indices of the region of a mask that a voxel is in."""
    regions = Regions(mask)
    for number in range(1, len(regions) + 1):
        region = regions.region(number)
        place = tuple(np.subtract(voxel, region.first))
        if all(0 <= n < size for n, size in zip(place, region.mask.shape, strict=True)) and region.mask[place]:
            return tuple(axis + first for axis, first in zip(np.nonzero(region.mask), region.first, strict=True))
    raise ValueError(f"a click beside all errors: {voxel}")


def _distances_mm(voxels: tuple[Indices, ...], voxel: Triple, spacing: Doubles) -> Doubles:
    distances: Doubles = np.linalg.norm((np.stack(voxels, axis=1) - voxel) * spacing, axis=1)
    return distances


def _row(trials: Sequence[_Trial]) -> Row:
    near, whole = np.array([each.mended_near for each in trials]), np.array([each.mended for each in trials])
    return {
        "modality": trials[0].modality,
        "clicks": trials[0].polarity.value,
        "trials": len(trials),
        "errors, median ml": round(float(np.median([each.ml for each in trials])), 1),
        f"over half mended within {_NEAR_MM:g} mm, % of trials": round(100 * float((near > 0.5).mean()), 1),
        f"over 90 % mended within {_NEAR_MM:g} mm, % of trials": round(100 * float((near > 0.9).mean()), 1),
        "over half mended, % of trials": round(100 * float((whole > 0.5).mean()), 1),
        "mended, mean %": round(100 * float(whole.mean()), 1),
        f"changed beyond {_FAR_MM:g} mm, mean ml": round(float(np.mean([each.changed_far_ml for each in trials])), 1),
    }
