"""Training cases in compact files on the model grid: images in f16, ground truth in bytes, a ``.npz`` for each case."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickseg.core.progress import no_progress
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.find import find_model_cases
from clickseg.datasets.folds import make_folds, patient_name
from clickseg.training.cases import GridCase, load_grid_cases
from clickseg.training.config import read_config

CASES_FOLDER = "cases"
"""The folder of a pack with the cases."""

PRESETS = ("pet_lesion", "lesion")
"""The presets whose model grid and scalings the cases have: those of both default models."""

FOLD_COUNT = 5
"""The folds of ``scripts/train-default-models``."""


@dataclass(frozen=True, slots=True)
class PackedCase:
    """A case and the fold in which it is held out.

    Attributes:
        case: The case on the model grid.
        fold: The number of the fold.
    """

    case: GridCase
    fold: int


def write_cases(data: Path, folder: Path, modality: str | None = None) -> None:
    """Writes the cases of a dataset.

    Args:
        data: The dataset of the default models.
        folder: The folder of the files.
        modality: The modality of the cases; None for all.

    Raises:
        InputError: A case cannot be read.
    """
    folder.mkdir(parents=True)
    config = read_config(PRESETS, [])
    all_cases = find_model_cases(data, config.model)
    cases = [case for case in all_cases if modality in (None, case.modalities[0])]
    folds = _fold_of_patients(all_cases)
    with tempfile.TemporaryDirectory() as cache:
        for case in load_grid_cases(cases, config, Path(cache), no_progress):
            np.savez_compressed(
                folder / f"{case.name}.npz",
                images=np.asarray(case.images, np.float16),
                truth=np.asarray(case.truth),
                modality=np.array(case.modality),
                fold=np.array(folds[patient_name(case.name)]),
            )


def read_cases(folder: Path, modality: str) -> Iterator[PackedCase]:
    """Yields the cases of a modality, by name."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["modality"]) == modality:
                images, truth = arrays["images"].astype(np.float32), arrays["truth"]
                yield PackedCase(GridCase(path.stem, modality, images, truth), int(arrays["fold"]))


def _fold_of_patients(cases: tuple[CaseFiles, ...]) -> dict[str, int]:
    """Returns the fold in which each patient is held out."""
    return {patient_name(case.name): fold.number for fold in make_folds(cases, FOLD_COUNT) for case in fold.held_out}
