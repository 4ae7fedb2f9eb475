"""Which segments of a SEG and which regions of interest of an RTSTRUCT are which class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clickseg.datasets.files import listed
from clickseg.errors import InputError
from clickseg.models.spec import ClassSpec
from clickseg.wording import printable

Classes: TypeAlias = tuple[tuple[str, ...], ...]
"""The names that each class has, from class 1 on; ``*`` stands for any text, and case does not count."""


@dataclass(frozen=True, slots=True)
class Region:
    """A segment, or a region of interest.

    Attributes:
        number: Its number in its file.
        name: What its file calls it.
        is_target: Whether it may be what is looked for: no organ, no outline of the body, no margin.
    """

    number: int
    name: str
    is_target: bool


def names_of(truth: Classes, classes: Sequence[ClassSpec]) -> Classes:
    """Returns the names of each class of a model: for one class all that may be meant, unless it is said."""
    if truth or len(classes) == 1:
        return truth
    return tuple((each.name, *each.aliases) for each in classes)


def class_of_each(regions: Sequence[Region], classes: Classes, where: str) -> tuple[tuple[int, int], ...]:
    """Returns the numbers of regions with their classes, in the order of the classes; others are left out.

    Without names of classes the only region is class 1, and of several all that may be what is looked for.

    Args:
        regions: All regions of a file.
        classes: The names that each class has.
        where: The file, for messages.

    Raises:
        InputError: No region is left.
    """
    if classes:
        found = [(region.number, _class_of(region.name, classes)) for region in regions]
    else:
        found = [(region.number, int(region.is_target or len(regions) == 1)) for region in regions]
    chosen = tuple(sorted((pair for pair in found if pair[1]), key=lambda pair: pair[1]))
    if not chosen:
        wanted = listed([name for names in classes for name in names]) or "a lesion"
        names = listed([printable(region.name) for region in regions]) or "none"
        raise InputError(f"{where}: expected {wanted}, got {names}", hint="name the regions of each class")
    return chosen


def _class_of(name: str, classes: Classes) -> int:
    """Returns the first class that has a name; 0 where none has it."""
    return next((n for n, names in enumerate(classes, 1) if any(_fits(name, form) for form in names)), 0)


def _fits(name: str, form: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in form.strip().split("*"))
    return re.fullmatch(pattern, name.strip(), re.IGNORECASE | re.DOTALL) is not None
