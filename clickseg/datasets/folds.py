"""wip: comes with the datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from clickseg.datasets.case import CaseFiles


def split(
    files: Sequence[CaseFiles], fold: int, folds: int, seed: int
) -> tuple[tuple[CaseFiles, ...], tuple[CaseFiles, ...]]:
    """Returns the cases that are learnt from, and those that are held out."""
    patients = sorted(
        {_patient(each) for each in files}, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest()
    )
    part = {name: number % folds for number, name in enumerate(patients)}
    held_out = tuple(each for each in files if part[_patient(each)] == fold)
    return tuple(each for each in files if each not in held_out), held_out


def _patient(case: CaseFiles) -> str:
    name = case.name
    for modality in case.modalities:
        name = name.removesuffix(f"_{modality}")
    return name
