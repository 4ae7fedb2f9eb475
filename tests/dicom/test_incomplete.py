"""Slices that are there by name only because a transfer was interrupted, and files that are no slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from clickseg.cli.inspection import inspect_series
from clickseg.core.errors import InputError, SeriesError
from clickseg.dicom.files import scan
from clickseg.dicom.read import read_series
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import SeriesGeometry, check_all_series
from tests.helpers import phantoms
from tests.helpers.dicom_files import write_named

SLICES = 7
MISSING = 2
"""The number of slices, at the end of the series, whose files have no content."""


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def cut_in_preamble(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def cut_before_prefix(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:131])


def make_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/4x/Zq/MD5E-s5000.dcm")


def make_error_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>502 Bad Gateway</body></html>\n" * 10)


def make_json(path: Path) -> None:
    path.write_text('{"status": 404, "message": "the instance does not exist"}' * 5)


def make_random(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(5000))


def link_to_empty_file(path: Path) -> None:
    target = path.parents[2] / f"target_of_{path.name}"
    target.touch()
    path.unlink()
    path.symlink_to(target)


DAMAGES = {
    make_empty: "empty",
    make_zeros: "zeros",
    cut_in_preamble: "shorter than a DICOM header",
    cut_before_prefix: "shorter than a DICOM header",
    make_broken_link: "link without a target",
    link_to_empty_file: "empty",
    make_error_page: "not DICOM",
    make_json: "not DICOM",
    make_random: "not DICOM",
}

NAMES = {
    "number": "{0:04d}.dcm",
    "number without zeros": "{0}",
    "prefix without extension": "IM{0}",
    "extension in capitals": "IMG{0:05d}.DCM",
    "UID": "CT.1.2.826.0.1.3680043.{0}.dcm",
    "two numbers that vary": "IM-0001-{0:04d}-{0:04d}.dcm",
    "a number after the slice number": "slice_{0}_of_7.ima",
    "spaces and brackets": "CT (head) [{0}].dcm",
}


@pytest.fixture
def slices() -> list[Dataset]:
    return phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))


@pytest.mark.parametrize(("damage", "state"), DAMAGES.items())
def test_slices_without_content_are_named_and_left_out_by_a_repair(
    tmp_path: Path, slices: list[Dataset], damage: Callable[[Path], None], state: str
) -> None:
    paths = write_named(tmp_path / "in" / "ct", slices, NAMES["number"])
    for path in paths[-MISSING:]:
        damage(path)

    error = rejection(tmp_path / "in")
    repaired = accepted(tmp_path / "in", "incomplete")

    summary = f"2 files without DICOM content: ct/0006.dcm ({state}), ct/0007.dcm ({state})"
    assert str(error) == f"slices are missing: the series has 5 readable files, and {summary}"
    action = "copy the targets of the links, or send" if damage is make_broken_link else "send"
    assert error.hint == f"{action} these files again; --repair incomplete continues without them"
    assert repaired.stack.geometry.spatial_shape[0] == SLICES - MISSING
    assert repaired.files.applied_repairs == (f"left out {summary}",)


@pytest.mark.parametrize("pattern", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("number", [0, 3, SLICES - 1])
def test_the_name_of_a_slice_shows_that_it_is_missing(
    tmp_path: Path, slices: list[Dataset], pattern: str, number: int
) -> None:
    path = write_named(tmp_path / "ct", slices, pattern)[number]
    make_empty(path)

    assert f"1 file without DICOM content: ct/{path.name} (empty)" in str(rejection(tmp_path))


def test_a_name_in_other_letters_is_that_of_a_slice(tmp_path: Path, slices: list[Dataset]) -> None:
    write_named(tmp_path, slices, "im{0}.dcm")
    (tmp_path / "IM8.DCM").touch()

    assert "IM8.DCM (empty)" in str(rejection(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "._0003.dcm",
        "._0008.dcm",
        "Thumbs.db",
        "DICOMDIR",
        "desktop.ini",
        "0008.txt",
        "0008",
        "0008.dcm.md5",
        "report.dcm",
        "sr_0008.dcm",
        "8_9.dcm",
        "../0008.dcm",
        "sub/0008.dcm",
    ],
)
@pytest.mark.parametrize("content", [b"", bytes(4096), b"short", b"The dose in mGy, by series.\n" * 20])
def test_other_files_without_content_are_ignored(
    tmp_path: Path, slices: list[Dataset], name: str, content: bytes
) -> None:
    folder = tmp_path / "in" / "ct"
    write_named(folder, slices, NAMES["number"])
    (folder / "sub").mkdir()
    (folder / name).write_bytes(content)

    assert accepted(tmp_path / "in").stack.geometry.spatial_shape == phantoms.SHAPE


@pytest.mark.parametrize(
    "pattern", ["{0:08X}", "CT{0:08x}.dcm", "{0:08x}.dcm", "{0:08x}-e29b-41d4-a716-4466554400{0:02x}"]
)
def test_hexadecimal_names_and_uuids_show_that_a_slice_is_missing(
    tmp_path: Path, slices: list[Dataset], pattern: str
) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    names = [pattern.format(number * 0x1D3A7B5) for number in range(1, SLICES + 1)]
    for dataset, name in zip(slices, names, strict=True):
        dataset.save_as(folder / name, enforce_file_format=True)
    make_empty(folder / names[-1])

    assert f"1 file without DICOM content: ct/{names[-1]} (empty)" in str(rejection(tmp_path))


@pytest.mark.parametrize("pattern", ["IM{0}", "{0:05d}", "{0:08x}", "slice {0}"])
@pytest.mark.parametrize("name", ["README", "LICENSE", "readme.txt", "dose.pdf", "1.json", "IM8.json", "checksums.md5"])
def test_an_ordinary_file_next_to_the_slices_is_ignored(
    tmp_path: Path, slices: list[Dataset], pattern: str, name: str
) -> None:
    write_named(tmp_path, slices, pattern)
    (tmp_path / name).write_text("positions of the slices in mm\n" * 10)

    assert accepted(tmp_path).stack.geometry.spatial_shape == phantoms.SHAPE


def test_a_series_whose_names_have_another_number_is_complete(tmp_path: Path, slices: list[Dataset]) -> None:
    other = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), name="other")
    write_named(tmp_path, slices, "IM-0001-{0:04d}.dcm")
    make_empty(write_named(tmp_path, other, "IM-0002-{0:04d}.dcm")[-1])

    complete, incomplete = check_all_series(scan(tmp_path), Repairs())

    assert [series.files.series_uid for series in complete] == [slices[0].SeriesInstanceUID]
    assert [series.files.series_uid for series in incomplete] == [other[0].SeriesInstanceUID]


def test_a_multi_frame_image_is_complete_in_its_own_file(tmp_path: Path, slices: list[Dataset]) -> None:
    folder = phantoms.write_legacy_enhanced(tmp_path, slices)
    (folder / "enhanced.dcm").rename(folder / "0001.dcm")
    (folder / "0002.dcm").touch()

    assert accepted(tmp_path).stack.geometry.spatial_shape == phantoms.SHAPE


def test_a_gap_needs_both_repairs(tmp_path: Path, slices: list[Dataset]) -> None:
    make_empty(write_named(tmp_path, slices, NAMES["number"])[3])

    with pytest.raises(SeriesError, match="1 missing slice in 1 place") as caught:
        accepted(tmp_path, "incomplete")
    assert "use --repair incomplete,resample to" in str(caught.value.hint)
    assert accepted(tmp_path, "incomplete", "resample").stack.geometry.spatial_shape == phantoms.SHAPE


def test_inspection_shows_the_missing_slices(tmp_path: Path, slices: list[Dataset]) -> None:
    make_empty(write_named(tmp_path, slices, NAMES["number"])[-1])

    (row,) = inspect_series(scan(tmp_path), Repairs())
    (repaired,) = inspect_series(scan(tmp_path), Repairs(incomplete=True))

    assert "1 file without DICOM content" in str(row.problem)
    assert repaired.problem is None
    assert repaired.repairs == ("left out 1 file without DICOM content: 0007.dcm (empty)",)


def test_read_series_rejects_missing_slices(tmp_path: Path, slices: list[Dataset]) -> None:
    make_empty(write_named(tmp_path, slices, NAMES["number"])[-1])

    with pytest.raises(InputError, match="slices are missing"):
        read_series(tmp_path)


def rejection(folder: Path) -> InputError:
    """Returns the error of the only series of a folder."""
    series, (rejected,) = check_all_series(scan(folder), Repairs())
    assert series == ()
    return rejected.error


def accepted(folder: Path, *repair_names: str) -> SeriesGeometry:
    """Returns the only series of a folder.

    Raises:
        InputError: The series is rejected.
    """
    series, rejected = check_all_series(scan(folder), Repairs.parse(repair_names))
    if rejected:
        raise rejected[0].error
    return series[0]
