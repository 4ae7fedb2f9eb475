"""Inputs without DICOM files: the message names the format of the files, and the hint what to do."""

from __future__ import annotations

import gc
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the usual name
from pydicom.fileset import FileSet

from clickseg.cli.inspection import inspect_series, text_report
from clickseg.core.errors import InputError
from clickseg.dicom.files import scan
from clickseg.dicom.read import read_series
from clickseg.dicom.repairs import Repairs
from tests.helpers import phantoms


def write_image(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5), np.float32)), path)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ct/0001.dcm", b"DICM")


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        archive.addfile(tarfile.TarInfo("ct/0001.dcm"), io.BytesIO())


def write_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(bytes(128) + b"DICM"))


def write_text(path: Path) -> None:
    path.write_text("some text\n" * 40)


INPUTS = [
    ("image.nii", write_image, "NIfTI image", "converted"),
    ("image.nii.gz", write_image, "NIfTI image", "converted"),
    ("image.nrrd", write_image, "NRRD image", "converted"),
    ("image.mha", write_image, "MetaImage", "converted"),
    ("study.zip", write_zip, "zip archive", "unpack"),
    ("study", write_zip, "zip archive", "unpack"),
    ("study.tar", write_tar, "tar archive", "unpack"),
    ("study.tgz", write_tar, "tar archive", "unpack"),
    ("0001.dcm.gz", write_gzip, "gzip archive", "unpack"),
    ("study.7z", write_text, "7z archive", "unpack"),
    ("slice.png", write_image, "PNG picture", "exported"),
    ("slice.dcm", Path.touch, "empty file", "send the files again"),
]


@pytest.mark.parametrize(("name", "write", "message", "hint"), [*INPUTS], ids=[row[0] for row in INPUTS])
@pytest.mark.parametrize("is_folder", [True, False])
def test_the_format_of_the_input_is_named(
    tmp_path: Path, name: str, write: Callable[[Path], None], message: str, hint: str, *, is_folder: bool
) -> None:
    if name == "slice.png":
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5), np.uint8)), tmp_path / name)
    else:
        write(tmp_path / name)

    with pytest.raises(InputError) as caught:
        read_series(tmp_path if is_folder else tmp_path / name)

    assert str(caught.value) == f"no DICOM files in the input (1 other file): 1 {message} ({name})"
    assert hint in str(caught.value.hint)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty" / "subfolder").mkdir(parents=True)

    with pytest.raises(InputError, match="no DICOM files in the input: the folder is empty"):
        read_series(tmp_path)


def test_files_of_an_unknown_format_are_counted(tmp_path: Path) -> None:
    write_text(tmp_path / "notes.txt")

    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert str(caught.value) == "no DICOM files in the input (1 other file)"


def test_all_formats_of_a_folder_are_named_the_most_frequent_first(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip")
    for name in ("b.nii", "c.nii.gz", "d.nii"):
        write_image(tmp_path / name)
    write_text(tmp_path / "readme.md")

    with pytest.raises(InputError, match=r"\(5 other files\): 3 NIfTI images \(b.nii, ...\), 1 zip") as caught:
        read_series(tmp_path)
    assert str(caught.value).endswith("1 zip archive (a.zip)")
    assert "converted; or unpack the archive" in str(caught.value.hint)


def test_images_of_itk_are_named(tmp_path: Path) -> None:
    for name in ("a.nrrd", "b.mha", "c.mhd"):  # c.mhd has its pixels in c.raw
        write_image(tmp_path / name)

    with pytest.raises(InputError) as caught:
        read_series(tmp_path)

    assert str(caught.value) == (
        "no DICOM files in the input (4 other files): 2 MetaImages (b.mha, ...), 1 NRRD image (a.nrrd), "
        "1 raw image (c.raw)"
    )
    assert caught.value.hint == "pass the folder of the DICOM files from which the image was converted"


def test_links_without_a_target_are_named(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.dcm").symlink_to(f"../.git/annex/objects/{number}")

    with pytest.raises(InputError, match=r"3 broken links \(0.dcm, ...\)") as caught:
        read_series(tmp_path)
    assert "copy the files" in str(caught.value.hint)


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # pydicom's FileSet
def test_a_dicomdir_without_its_files_is_named(tmp_path: Path) -> None:
    series = phantoms.write(tmp_path / "in", phantoms.distinct_volume(phantoms.oblique_geometry()))
    index = FileSet()
    for path in series.iterdir():
        index.add(path)
    index.write(tmp_path / "disc")
    del index
    gc.collect()

    with pytest.raises(InputError, match="only a DICOMDIR"):
        read_series(tmp_path / "disc" / "DICOMDIR")


def test_inspection_names_the_format(tmp_path: Path) -> None:
    write_zip(tmp_path / "study.zip")
    scan_result = scan(tmp_path)

    lines = text_report(scan_result, inspect_series(scan_result, Repairs()))

    assert "problem: no DICOM files in the input (1 other file): 1 zip archive (study.zip)" in lines
