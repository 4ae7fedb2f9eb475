"""Digests depend on the content of a dataset, not on its location."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clickseg.core.errors import InputError
from clickseg.datasets.case import CaseFiles, compute_digests


def write_cases(folder: Path) -> list[CaseFiles]:
    (folder / "dicom" / "deep").mkdir(parents=True)
    for name in ("a", "b", "a_truth", "dicom/1", "dicom/deep/2"):
        (folder / name).write_text(name)
    return [
        CaseFiles("one", ("PT",), (folder / "a",), folder / "a_truth"),
        CaseFiles("two", ("PT", "CT"), (folder / "b", folder / "dicom"), None, 3),
    ]


def test_the_same_files_in_another_folder_have_the_same_digests(tmp_path: Path) -> None:
    cases, copies = write_cases(tmp_path / "first"), write_cases(tmp_path / "second")
    (tmp_path / "second" / "dicom" / "1").rename(tmp_path / "second" / "dicom" / "9")

    assert compute_digests(cases) == compute_digests(copies[::-1])
    assert set(compute_digests(cases).cases) == {"one", "two"}


@pytest.mark.parametrize("name", ["a", "b", "a_truth", "dicom/1", "dicom/deep/2"])
def test_a_changed_byte_changes_the_digest(tmp_path: Path, name: str) -> None:
    cases = write_cases(tmp_path)
    before = compute_digests(cases)

    (tmp_path / name).write_bytes(b"!")

    after = compute_digests(cases)
    changed = {key for key in before.cases if before.cases[key] != after.cases[key]}
    assert changed == {"one" if name.startswith("a") else "two"}
    assert before.sha256 != after.sha256


def test_digests_depend_on_the_role_of_a_file_and_on_the_name_of_the_case(tmp_path: Path) -> None:
    one, two = write_cases(tmp_path)
    swapped = replace(two, images=two.images[::-1])
    unlabelled = replace(one, truth=None)
    renamed = replace(one, name="three")

    assert compute_digests([swapped]).cases != compute_digests([two]).cases
    assert compute_digests([unlabelled]).cases != compute_digests([one]).cases
    assert compute_digests([renamed]).sha256 != compute_digests([one]).sha256


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    (tmp_path / "b").unlink()

    with pytest.raises(InputError, match="b: cannot be read: No such file"):
        compute_digests(cases)
