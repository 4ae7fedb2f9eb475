"""Finds to which of several series with one name pattern a file without content belongs.

An export can number the files of all series of a study in one folder. The header of an empty file is unknown, but its
number shows to which series it belongs if

- it is a missing number of a series whose files are numbered like its Instance Numbers (0020,0013), or
- the files of each series follow each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.part10 import Instance
from clickseg.dicom.series_files import SeriesFiles

_NUMBER = re.compile("([0-9]+)")
_DENSE_FRACTION = 0.5
"""The smallest fraction of the numbers from the first to the last file of a series that its files have, so that series
of few files with random numbers are not treated as following each other."""


@dataclass(frozen=True, slots=True)
class _NumberedFiles:
    """A series whose files are numbered.

    Attributes:
        series: The series.
        instance_numbers: By the number of a file, its Instance Number; None if it is missing or invalid.
    """

    series: SeriesFiles
    instance_numbers: Mapping[int, int | None]

    @property
    def first(self) -> int:
        """The lowest number of a file."""
        return min(self.instance_numbers)

    @property
    def last(self) -> int:
        """The highest number of a file."""
        return max(self.instance_numbers)

    @property
    def is_dense(self) -> bool:
        """Whether most numbers from the first to the last are those of files."""
        return len(self.instance_numbers) >= _DENSE_FRACTION * (self.last - self.first + 1)


def find_owners(name: str, candidates: Sequence[SeriesFiles]) -> list[SeriesFiles]:
    """Returns the series to which a file without content can belong, at least one.

    Args:
        name: The name of the file, relative to the scanned folder.
        candidates: The series whose files are named like this file.
    """
    number, all_files = _read_numbers(name, candidates)
    possible = [files for files in all_files if _can_contain(number, files)]
    gaps = [files for files in possible if _has_gap(number, files)]
    adjacent = [files for files in _adjacent_blocks(number, all_files) if files in possible]
    return [files.series for files in gaps or adjacent or possible] or list(candidates)


def _read_numbers(name: str, candidates: Sequence[SeriesFiles]) -> tuple[int, list[_NumberedFiles]]:
    """Returns the number of a file and those of the files of each series; no series if several numbers vary."""
    texts, own_numbers = _split_name(name)
    alike: list[dict[tuple[int, ...], Instance]] = []
    for series in candidates:
        names = [(_split_name(instance.name), instance) for instance in series.instances]
        alike.append({numbers: instance for (parts, numbers), instance in names if parts == texts})
    columns = list(zip(own_numbers, *(numbers for files in alike for numbers in files), strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    if not all(alike) or len(set(varying)) != 1:
        return 0, []
    position = columns.index(varying[0])
    return own_numbers[position], [
        _NumberedFiles(series, {numbers[position]: _read_instance_number(file) for numbers, file in files.items()})
        for series, files in zip(candidates, alike, strict=True)
    ]


def _split_name(name: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Returns the texts and the numbers of the last part of a name."""
    parts = _NUMBER.split(name.rpartition("/")[2].lower())
    return tuple(parts[::2]), tuple(int(part) for part in parts[1::2])


def _read_instance_number(instance: Instance) -> int | None:
    try:
        return int(instance.header.get("InstanceNumber", ""))
    except READ_ERRORS:
        return None


def _expected_instance_number(number: int, files: _NumberedFiles) -> Fraction | None:
    """Returns the Instance Number of a file by its number; None if the files are not numbered like Instance Numbers."""
    pairs = [(file, instance) for file, instance in files.instance_numbers.items() if instance is not None]
    if len(pairs) < len(files.instance_numbers) or len({instance for _, instance in pairs}) < 2:
        return None
    (first_file, first_instance), (last_file, last_instance) = min(pairs), max(pairs)
    step = Fraction(last_instance - first_instance, last_file - first_file)
    if step == 0 or any(instance != first_instance + step * (file - first_file) for file, instance in pairs):
        return None
    return first_instance + step * (number - first_file)


def _can_contain(number: int, files: _NumberedFiles) -> bool:
    """Whether a file with this number can have an Instance Number that no other image of the series has."""
    expected = _expected_instance_number(number, files)
    if expected is None:
        return True
    present = [instance for instance in files.instance_numbers.values() if instance is not None]
    return expected.denominator == 1 and expected >= min(1, *present) and expected not in present


def _has_gap(number: int, files: _NumberedFiles) -> bool:
    """Whether a file with this number has an Instance Number between those of the series."""
    expected = _expected_instance_number(number, files)
    present = [instance for instance in files.instance_numbers.values() if instance is not None]
    return expected is not None and min(present) < expected < max(present)


def _adjacent_blocks(number: int, all_files: Sequence[_NumberedFiles]) -> list[_NumberedFiles]:
    """Returns the series around a number, or before and after it; none if the series do not follow each other."""
    blocks = sorted(all_files, key=lambda files: files.first)
    if not all(files.is_dense for files in blocks):
        return []
    if any(before.last >= after.first for before, after in pairwise(blocks)):
        return []
    inside = [files for files in blocks if files.first < number < files.last]
    before = [files for files in blocks if files.last < number]
    after = [files for files in blocks if files.first > number]
    return inside or [*before[-1:], *after[:1]]
