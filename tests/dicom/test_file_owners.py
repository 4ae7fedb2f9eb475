"""Files without content in a folder in which the files of several series have one name pattern."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset

from clickseg.cli.inspection import inspect_series
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from tests.helpers import phantoms

SLICES = 7

UNNUMBERED = None
"""The images have no Instance Numbers."""


def make_series(name: str, first_instance_number: int | None) -> list[Dataset]:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), name=name)
    for number, dataset in enumerate(datasets):
        dataset.SeriesDescription = name
        dataset.InstanceNumber = None if first_instance_number is None else first_instance_number + number
    return datasets


def write(folder: Path, datasets: Sequence[Dataset], numbers: Sequence[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for dataset, number in zip(datasets, numbers, strict=True):
        dataset.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def incomplete_series(folder: Path) -> dict[str, str]:
    """Returns the problem of each series that lacks slices, by Series Description."""
    rows = inspect_series(scan(folder), Repairs())
    return {row.description: row.problem for row in rows if row.problem and "slices are missing" in row.problem}


BLOCKS = range(1, 8), range(8, 15)
ODD_AND_EVEN = range(1, 15, 2), range(2, 16, 2)
RANDOM = [1, 2, 5, 6, 7, 10, 13], [3, 4, 8, 9, 11, 12, 14]

CASES = {
    "the last file of a study": (BLOCKS, 1, 14, "b"),
    "a file within the first series": (BLOCKS, 1, 4, "a"),
    "a file within the second series": (BLOCKS, 1, 11, "b"),
    "the first file of the second series": (BLOCKS, 1, 8, "b"),
    "the first file of the study": (BLOCKS, 1, 1, "a"),
    "the first file of the study, without Instance Numbers": (BLOCKS, UNNUMBERED, 1, "a"),
    "a file within the first series, without Instance Numbers": (BLOCKS, UNNUMBERED, 4, "a"),
    "the last file of the study, without Instance Numbers": (BLOCKS, UNNUMBERED, 14, "b"),
    "the first file of the second series, without Instance Numbers": (BLOCKS, UNNUMBERED, 8, "ab"),
    "odd numbers": (ODD_AND_EVEN, 1, 5, "a"),
    "even numbers": (ODD_AND_EVEN, 1, 6, "b"),
    "the last odd number": (ODD_AND_EVEN, 1, 13, "a"),
    "the last file of the first series, without Instance Numbers": (BLOCKS, UNNUMBERED, 7, "ab"),
    "odd numbers, without Instance Numbers": (ODD_AND_EVEN, UNNUMBERED, 5, "ab"),
    "random numbers": (RANDOM, 1, 5, "ab"),
}
"""The file numbers of two series, the first Instance Number of both, the empty file, and the series without a slice."""


@pytest.mark.parametrize(("numbers", "first", "empty", "expected"), CASES.values(), ids=CASES)
def test_only_the_series_to_which_an_empty_file_can_belong_is_rejected(
    tmp_path: Path, numbers: tuple[Sequence[int], Sequence[int]], first: int | None, empty: int, expected: str
) -> None:
    for name, file_numbers in zip("ab", numbers, strict=True):
        write(tmp_path, make_series(name, first), file_numbers)
    (tmp_path / f"IM{empty:04d}.dcm").write_bytes(b"")

    problems = incomplete_series(tmp_path)

    assert "".join(sorted(problems)) == expected
    state = "empty" if len(expected) == 1 else "empty, of this or another series"
    assert all(f"1 file without DICOM content: IM{empty:04d}.dcm ({state})" in text for text in problems.values())


def test_several_empty_files_at_the_end_of_the_first_of_two_series_are_its_own(tmp_path: Path) -> None:
    for name, numbers in zip("ab", BLOCKS, strict=True):
        write(tmp_path, make_series(name, 1), numbers)
    for number in (5, 6, 7):
        (tmp_path / f"IM{number:04d}.dcm").write_bytes(b"")

    problems = incomplete_series(tmp_path)

    assert list(problems) == ["a"]
    assert "IM0005.dcm (empty), IM0006.dcm (empty), IM0007.dcm (empty)" in problems["a"]


@pytest.mark.parametrize(("empty", "expected"), [(7, "a"), (8, "b"), (13, "b"), (14, "b")])
def test_instance_numbers_can_decrease_with_the_file_number(tmp_path: Path, empty: int, expected: str) -> None:
    for name, numbers in zip("ab", BLOCKS, strict=True):
        write(tmp_path, list(reversed(make_series(name, 1))), numbers)
    (tmp_path / f"IM{empty:04d}.dcm").write_bytes(b"")

    assert list(incomplete_series(tmp_path)) == [expected]


def test_a_file_after_instance_numbers_that_continue_in_the_next_series_can_belong_to_both(tmp_path: Path) -> None:
    write(tmp_path, make_series("a", 1), range(1, 8))
    write(tmp_path, make_series("b", 9), range(9, 16))
    (tmp_path / "IM0008.dcm").write_bytes(b"")

    assert sorted(incomplete_series(tmp_path)) == ["a", "b"]


def test_names_in_which_several_numbers_vary_show_no_owner(tmp_path: Path) -> None:
    for name, step in zip("ab", (3, 4), strict=True):
        for number, dataset in enumerate(make_series(name, 1), 1):
            dataset.save_as(tmp_path / f"IM{number * step}_{number + 10 * step}.dcm", enforce_file_format=True)
    (tmp_path / "IM99_99.dcm").write_bytes(b"")

    assert sorted(incomplete_series(tmp_path)) == ["a", "b"]


def test_the_repair_continues_with_both_series(tmp_path: Path) -> None:
    for name, numbers in zip("ab", BLOCKS, strict=True):
        write(tmp_path, make_series(name, UNNUMBERED), numbers)
    (tmp_path / "IM0007.dcm").write_bytes(b"")

    rows = inspect_series(scan(tmp_path), Repairs(incomplete=True))

    assert [row.shape[0] for row in rows if row.shape is not None] == [SLICES - 1, SLICES]
    assert all("of this or another series" in str(row.repairs) for row in rows)
