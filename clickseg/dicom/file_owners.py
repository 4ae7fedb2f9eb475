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
    gaps = [files for files in possible if _has_gap(number, files, all_files)]
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


def _can_contain(number: int, files: _NumberedFiles) -> bool:
    """Whether a file with this number can have an Instance Number that no other image of the series has."""
    numbering = _fit_numbering(files)
    if numbering is None:
        return True
    expected = numbering.instance_number(number)
    is_numbered = expected.denominator == 1 and expected >= min(1, *numbering.present)
    return is_numbered and expected not in numbering.present


def _has_gap(number: int, files: _NumberedFiles, all_files: Sequence[_NumberedFiles]) -> bool:
    """Whether a file with this number has an Instance Number between those of the series, or between 1 and the first.

    Numbers before the first are a gap only if files of other series are not at their place: then the series does not
    begin with 1.
    """
    numbering = _fit_numbering(files)
    if numbering is None:
        return False
    expected, lowest, highest = numbering.instance_number(number), min(numbering.present), max(numbering.present)
    if expected < lowest:
        before_first = sorted((numbering.file_number(1), numbering.file_number(lowest)))
        others = [file for other in all_files if other is not files for file in other.instance_numbers]
        return expected >= 1 and not any(before_first[0] <= file <= before_first[1] for file in others)
    return lowest < expected < highest


@dataclass(frozen=True, slots=True)
class _Numbering:
    """Instance Numbers that are a linear function of file numbers.

    Attributes:
        first_file: The number of a file.
        first_instance: Its Instance Number.
        step: The Instance Numbers from one file number to the next.
        present: The Instance Numbers of the series.
    """

    first_file: int
    first_instance: int
    step: Fraction
    present: frozenset[int]

    def instance_number(self, file: int) -> Fraction:
        return self.first_instance + self.step * (file - self.first_file)

    def file_number(self, instance: int) -> Fraction:
        return self.first_file + (instance - self.first_instance) / self.step


def _fit_numbering(files: _NumberedFiles) -> _Numbering | None:
    """Returns how Instance Numbers follow from file numbers; None if they do not."""
    pairs = {file: instance for file, instance in files.instance_numbers.items() if instance is not None}
    present = frozenset(pairs.values())
    if len(pairs) < len(files.instance_numbers) or len(present) < 2:
        return None
    step = Fraction(pairs[files.last] - pairs[files.first], files.last - files.first)
    numbering = _Numbering(files.first, pairs[files.first], step, present)
    is_linear = all(numbering.instance_number(file) == instance for file, instance in pairs.items())
    return numbering if is_linear and step != 0 else None


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
