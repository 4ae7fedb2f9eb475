"""Uncompressed pixels are read directly from the file if the file is regular."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from clickseg.dicom.conversion import ConversionCache
from clickseg.dicom.part10 import TEXT_KEYWORDS, Instance, read_header
from clickseg.dicom.stored import read_uncompressed
from clickseg.dicom.stored_bits import extract_values
from tests.helpers import phantoms


def read_instance(path: Path) -> Instance:
    instance = read_header(path, path.name, ConversionCache(TEXT_KEYWORDS))
    assert isinstance(instance, Instance)
    return instance


def read_directly(path: Path) -> np.ndarray | None:
    """Returns the pixels that are read directly from a file; None if the pixels need a decoder."""
    instance = read_instance(path)
    if instance.pixel_offset is None:
        return None
    with path.open("rb") as file:
        return read_uncompressed(file, instance.pixel_offset, instance.header)


def make_image(rows: int = 24, columns: int = 40) -> Dataset:
    return phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((2, rows, columns))))[1]


@pytest.mark.parametrize("dtype", ["<u1", "<i1", "<u2", "<i2", "<u4", "<i4"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("shape", [(4, 6), (3, 5)])  # an odd number of bytes is padded
def test_stored_values_are_the_same_as_in_pydicom(
    tmp_path: Path, dtype: str, syntax: str, shape: tuple[int, int]
) -> None:
    dataset, bits = make_image(*shape), 8 * np.dtype(dtype).itemsize
    values = np.random.default_rng(1).integers(0, 255, shape[0] * shape[1] * bits // 8, np.uint8).tobytes()
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(np.dtype(dtype).kind == "i")
    dataset.PixelData = values + b"\0" * (len(values) % 2)
    dataset.file_meta.TransferSyntaxUID = syntax
    implicit = syntax == ImplicitVRLittleEndian
    dataset.save_as(tmp_path / "a", implicit_vr=implicit, little_endian=True, enforce_file_format=True)

    stored = read_directly(tmp_path / "a")

    assert stored is not None
    np.testing.assert_array_equal(stored[0], dcmread(tmp_path / "a").pixel_array)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize(("bits_allocated", "bits_stored"), [(8, 7), (16, 12), (16, 1), (32, 20)])
def test_unused_bits_are_ignored(tmp_path: Path, bits_allocated: int, bits_stored: int, sign: int) -> None:
    dataset = make_image(8, 9)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits_allocated, bits_stored, bits_stored - 1
    dataset.PixelRepresentation = sign
    dataset.PixelData = np.random.default_rng(1).bytes(8 * 9 * bits_allocated // 8)
    dataset.save_as(tmp_path / "a", enforce_file_format=True)

    cells = read_directly(tmp_path / "a")

    assert cells is not None
    np.testing.assert_array_equal(extract_values(cells, dataset)[0], dcmread(tmp_path / "a").pixel_array)


def test_all_frames_of_a_multi_frame_image_are_read(tmp_path: Path) -> None:
    folder = phantoms.write_legacy_enhanced(
        tmp_path, phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    )

    stored = read_directly(folder / "enhanced.dcm")

    np.testing.assert_array_equal(stored, dcmread(folder / "enhanced.dcm").pixel_array)


def test_a_series_of_uncompressed_images_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    geometry = phantoms.read_geometry(phantoms.write(tmp_path, volume))
    monkeypatch.setattr("clickseg.dicom.pixels.dcmread", None)

    series = phantoms.load_volume(geometry)

    np.testing.assert_array_equal(series.volume.array, volume.array)


@pytest.mark.parametrize("tail", [b"\0", b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0abcd", b"garbage"])
def test_a_file_with_data_after_the_pixels_needs_a_decoder(tmp_path: Path, tail: bytes) -> None:
    make_image().save_as(tmp_path / "a", enforce_file_format=True)
    with (tmp_path / "a").open("ab") as file:
        file.write(tail)

    assert read_directly(tmp_path / "a") is None


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_other_transfer_syntaxes_need_a_decoder(tmp_path: Path, syntax: str) -> None:
    dataset, little_endian = make_image(), syntax != ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "a", implicit_vr=False, little_endian=little_endian, enforce_file_format=True)

    assert read_directly(tmp_path / "a") is None


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Rows", 23), ("Rows", 25), ("BitsStored", 0), ("BitsStored", 17), ("PixelRepresentation", 7)],
)
def test_a_header_that_does_not_match_the_pixels_needs_a_decoder(tmp_path: Path, keyword: str, value: int) -> None:
    dataset = make_image()
    setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "a", enforce_file_format=True)

    assert read_directly(tmp_path / "a") is None


def test_a_file_that_was_truncated_after_the_scan_is_not_read_directly(tmp_path: Path) -> None:
    make_image().save_as(tmp_path / "a", enforce_file_format=True)
    instance = read_instance(tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-10])

    with (tmp_path / "a").open("rb") as file:
        assert read_uncompressed(file, instance.pixel_offset or 0, instance.header) is None
