"""Folds of a cross-validation: all cases of a patient are held out together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from clickseg.core.errors import InputError, UsageError
from clickseg.datasets.case import CaseFiles

_WHICH = re.compile(
    r"(?<=.)[_\-. ]("
    r"pet|pt|ct|cect|mri?|t1|t2|t1w|t2w|t1c|t1ce|t1gd|flair|adc|dwi"  # which image
    r"|(ses|session|study|series|visit|tp|timepoint)[-_]?\w{1,16}?"  # which examination
    r"|(\d{4}-\d\d-\d\d|\d\d-\d\d-\d{4})([-_. ].*)?"  # when, and what else is said after it, as autoPET does
    r")$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of a cross-validation.

    Attributes:
        number: Which one it is: where the dataset says the folds, what it calls it.
        training: The cases to train on.
        held_out: The cases to judge by.
    """

    number: int
    training: tuple[CaseFiles, ...]
    held_out: tuple[CaseFiles, ...]


def make_folds(cases: Sequence[CaseFiles], count: int, seed: int = 0) -> tuple[Fold, ...]:
    """Returns the folds of a dataset.

    Where it says which fold each case is held out in, these are they, as many as there are. Otherwise patients are
    dealt out in an order that depends on their names and the seed, and on nothing else.

    Args:
        cases: The cases, in any order.
        count: How many folds to make.
        seed: Another seed makes other folds; training and evaluation take the same.

    Raises:
        InputError: There are fewer patients than folds, fewer than two folds, or cases with and without a fold.
    """
    stated = {case.fold for case in cases}
    if stated <= {None}:
        held_out = _dealt(cases, count, seed)
    elif None in stated:
        raise InputError("expected a fold for every case or for none, got some of both")
    else:
        held_out = {case.name: int(case.fold or 0) for case in cases}
    numbers = sorted({*held_out.values()})
    if len(numbers) < 2:
        raise InputError(f"expected at least 2 folds, got {len(numbers)}")
    return tuple(
        Fold(
            number,
            tuple(case for case in cases if held_out[case.name] != number),
            tuple(case for case in cases if held_out[case.name] == number),
        )
        for number in numbers
    )


def fold_of(folds: Sequence[Fold], number: int) -> Fold:
    """Returns the fold of a number.

    Raises:
        UsageError: There is none.
    """
    found = next((fold for fold in folds if fold.number == number), None)
    if found is None:
        raise UsageError(f"fold: expected one of {', '.join(str(fold.number) for fold in folds)}, got {number}")
    return found


def patient_of(name: str) -> str:
    """Returns the part of a case's name that is its patient's: without modality, examination and date at its end."""
    shorter = _WHICH.sub("", name)
    return name if shorter == name else patient_of(shorter)


def _dealt(cases: Sequence[CaseFiles], count: int, seed: int) -> dict[str, int]:
    if count < 2:
        raise InputError(f"expected at least 2 folds, got {count}")
    patients = sorted({patient_of(case.name) for case in cases}, key=lambda patient: (_digest(seed, patient), patient))
    if count > len(patients):
        raise InputError(
            f"expected at least {count} patients for {count} folds, got {len(patients)}",
            hint='cases are of one patient by their names; a JSON datalist can say "fold" for each',
        )
    fold_of = {patient: place % count for place, patient in enumerate(patients)}
    return {case.name: fold_of[patient_of(case.name)] for case in cases}


def _digest(seed: int, patient: str) -> str:
    return hashlib.sha256(f"{seed} {patient}".encode()).hexdigest()
