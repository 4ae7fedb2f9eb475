"""Which part of a dataset is held out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a cross-validation.

    Attributes:
        fold: The number of the part, from 0.
        folds: How many parts there are.
    """

    fold: int
    folds: int
