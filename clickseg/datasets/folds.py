"""Folds of a cross-validation: all cases of a patient are in the same fold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from clickseg.core.errors import InputError, UsageError
from clickseg.core.text import format_count
from clickseg.datasets.case import CaseFiles

_NAME_SUFFIX = re.compile(
    r"(?<=.)[_\-. ]("
    r"pet|pt|ct|cect|mri?|t1|t2|t1w|t2w|t1c|t1ce|t1gd|flair|adc|dwi"  # modality or sequence
    r"|(ses|session|study|series|visit|tp|timepoint)[-_]?\w{1,16}?"  # examination
    r"|(\d{4}-\d\d-\d\d|\d\d-\d\d-\d{4})([-_. ].*)?"  # date, and the text after it, as in autoPET
    r")$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of a cross-validation.

    Attributes:
        number: The number of the fold; if the dataset defines the folds, its number there.
        training: The cases for training.
        held_out: The cases for validation.
    """

    number: int
    training: tuple[CaseFiles, ...]
    held_out: tuple[CaseFiles, ...]


def make_folds(cases: Sequence[CaseFiles], count: int, seed: int = 0) -> tuple[Fold, ...]:
    """Returns the folds of a dataset.

    If the dataset defines the fold of each case, these folds are returned. Otherwise patients are distributed in an
    order that depends on their names and the seed only.

    Args:
        cases: The cases, in any order.
        count: The number of folds, if the dataset does not define them.
        seed: The seed of the order; training and evaluation must use the same seed.

    Raises:
        InputError: There are fewer patients than folds, fewer than two folds, or cases with and without a fold.
    """
    defined = {case.fold for case in cases}
    if defined <= {None}:
        fold_numbers = _assign_folds(cases, count, seed)
    elif None in defined:
        with_fold = sum(case.fold is not None for case in cases)
        raise InputError(
            f"expected a fold for every case or for no case, got a fold for {with_fold} of "
            f"{format_count(len(cases), 'case')}"
        )
    else:
        fold_numbers = {case.name: int(case.fold or 0) for case in cases}
    numbers = sorted({*fold_numbers.values()})
    if len(numbers) < 2:
        raise InputError(f"expected at least 2 folds, got {len(numbers)}")
    return tuple(
        Fold(
            number,
            tuple(case for case in cases if fold_numbers[case.name] != number),
            tuple(case for case in cases if fold_numbers[case.name] == number),
        )
        for number in numbers
    )


def find_fold(folds: Sequence[Fold], number: int) -> Fold:
    """Returns the fold with a number.

    Raises:
        UsageError: No fold has the number.
    """
    fold = next((fold for fold in folds if fold.number == number), None)
    if fold is None:
        raise UsageError(f"fold: expected one of {', '.join(str(fold.number) for fold in folds)}, got {number}")
    return fold


def patient_name(case_name: str) -> str:
    """Returns the name of the patient of a case: the name of the case without modality, examination and date."""
    shorter = _NAME_SUFFIX.sub("", case_name)
    return case_name if shorter == case_name else patient_name(shorter)


def _assign_folds(cases: Sequence[CaseFiles], count: int, seed: int) -> dict[str, int]:
    """Returns the fold number of each case, by the name of the case."""
    if count < 2:
        raise InputError(f"expected at least 2 folds, got {count}")
    patients = sorted(
        {patient_name(case.name) for case in cases}, key=lambda patient: (_digest(seed, patient), patient)
    )
    if count > len(patients):
        raise InputError(
            f"expected at least {count} patients for {count} folds, got {len(patients)}",
            hint='the names of cases define their patients; a JSON datalist can define "fold" for each case',
        )
    patient_folds = {patient: index % count for index, patient in enumerate(patients)}
    return {case.name: patient_folds[patient_name(case.name)] for case in cases}


def _digest(seed: int, patient: str) -> str:
    return hashlib.sha256(f"{seed} {patient}".encode()).hexdigest()
