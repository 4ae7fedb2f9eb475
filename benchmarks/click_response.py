"""How far the result follows a click: errors that a click corrects, and changes far from it, without postprocessing.

Each click of the CVPR 2025 protocol is a trial, in cases that were held out of the training. The connected error region
that contains the click can be a rim around the whole tumour. So the errors within 20 mm of the click are also measured
separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.held_out import HeldOutCase, held_out_cases, trained_package
from benchmarks.table import Row, publish
from clickseg.clicks.click import Polarity
from clickseg.clicks.simulated.regions import Regions
from clickseg.core.arrays import FloatArray, IndexArray, Mask, Triple
from clickseg.evaluation.evaluate import in_memory_series
from clickseg.evaluation.protocols import ProtocolName, make_protocol
from clickseg.evaluation.trial import SessionMethod
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session

_CLICKS = 10
_NEAR_MM = 20.0
"""Voxels at most this far from the click are near the click."""

_FAR_MM = 100.0
"""Voxels farther than this from the click are far from the click."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """The effect of a click on the connected error region that contains it.

    Attributes:
        modality: The modality of the image.
        polarity: The polarity of the click.
        region_ml: The volume of the region before the click.
        corrected: The fraction of the region that is correct after the click.
        corrected_near: The fraction of the voxels of the region near the click that are correct after the click.
        changed_far_ml: The volume of all changes far from the click.
    """

    modality: str
    polarity: Polarity
    region_ml: float
    corrected: float
    corrected_near: float
    changed_far_ml: float


def run(data: Path, runs: Path) -> None:
    """Runs the benchmark; prints and stores its table.

    Args:
        data: The dataset.
        runs: A folder that contains one training run for each fold.
    """
    groups: dict[tuple[str, Polarity], list[_Trial]] = {}
    for held_out in held_out_cases(data, runs):
        for trial in _run_trials(held_out):
            groups.setdefault((trial.modality, trial.polarity), []).append(trial)
    name = trained_package(min(runs.iterdir())).name
    title = f"Response of {name} to clicks, without postprocessing"
    publish(f"click_response_{name}", title, [_row(trials) for trials in groups.values()])


def _run_trials(held_out: HeldOutCase) -> Iterator[_Trial]:
    case, image = held_out.case, held_out.case.images[0]
    truth = case.truth.array > 0
    user = make_protocol(ProtocolName.CVPR2025, _CLICKS, None).user(truth, image)
    options = SessionOptions(postprocessing=False)
    with Session(in_memory_series(case), held_out.package, engine=held_out.engine, options=options) as session:
        method = SessionMethod(session, case, held_out.package.spec, perf_counter())
        method.start()
        for step in range(1, _CLICKS + 1):
            before = method.mask(1).copy()
            for click in user(step, before):
                method.add_clicks([(1, click)])
                spacing = np.array(case.truth.spacing)
                yield _measure(image.modality, click.voxel, truth, before, method.mask(1), spacing)


def _measure(modality: str, voxel: Triple, truth: Mask, before: Mask, after: Mask, spacing: FloatArray) -> _Trial:
    errors = (before != truth) & (truth == truth[voxel])
    region, voxel_ml = _region_indices(voxel, errors), float(np.prod(spacing)) / 1000
    near = _distances_mm(region, voxel, spacing) <= _NEAR_MM
    is_correct = (after == truth)[region]
    changed = np.nonzero(before != after)
    return _Trial(
        modality,
        Polarity.FOREGROUND if truth[voxel] else Polarity.BACKGROUND,
        len(is_correct) * voxel_ml,
        float(is_correct.mean()),
        float(is_correct[near].mean()),
        float((_distances_mm(changed, voxel, spacing) > _FAR_MM).sum() * voxel_ml),
    )


def _region_indices(voxel: Triple, mask: Mask) -> tuple[IndexArray, ...]:
    """Returns the voxel indices of the connected region of a mask that contains a voxel."""
    regions = Regions(mask)
    for number in range(1, len(regions) + 1):
        region = regions.region(number)
        local = tuple(np.subtract(voxel, region.origin))
        if all(0 <= index < size for index, size in zip(local, region.mask.shape, strict=True)) and region.mask[local]:
            return tuple(axis + first for axis, first in zip(np.nonzero(region.mask), region.origin, strict=True))
    raise ValueError(f"the click is outside the errors: {voxel}")


def _distances_mm(voxels: tuple[IndexArray, ...], voxel: Triple, spacing: FloatArray) -> FloatArray:
    distances: FloatArray = np.linalg.norm((np.stack(voxels, axis=1) - voxel) * spacing, axis=1)
    return distances


def _row(trials: Sequence[_Trial]) -> Row:
    near = np.array([trial.corrected_near for trial in trials])
    corrected = np.array([trial.corrected for trial in trials])
    changed_far_ml = np.mean([trial.changed_far_ml for trial in trials])
    return {
        "modality": trials[0].modality,
        "clicks": trials[0].polarity.value,
        "trials": len(trials),
        "error region, median ml": round(float(np.median([trial.region_ml for trial in trials])), 1),
        f"over 50 % corrected within {_NEAR_MM:g} mm, % of trials": round(100 * float((near > 0.5).mean()), 1),
        f"over 90 % corrected within {_NEAR_MM:g} mm, % of trials": round(100 * float((near > 0.9).mean()), 1),
        "over 50 % corrected, % of trials": round(100 * float((corrected > 0.5).mean()), 1),
        "corrected, mean %": round(100 * float(corrected.mean()), 1),
        f"changed beyond {_FAR_MM:g} mm, mean ml": round(float(changed_far_ml), 1),
    }
