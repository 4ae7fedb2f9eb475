"""The value of a pixel is in Bits Stored bits that end at High Bit (PS3.5, 8.1.1); all other bits are ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from clickseg.core.errors import PixelDataError
from tests.helpers import phantoms

SHAPE = (4, 12, 15)


def make_values(bits: int, *, signed: bool) -> np.ndarray:
    """Returns values [K, J, I] over the complete range of a number of bits."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    values = np.random.default_rng(bits).integers(low, high, SHAPE, endpoint=True)
    values[1, 0, :2] = low, high
    return values


def make_series(
    cells: np.ndarray,
    *,
    allocated: int,
    stored: int,
    high: int | None,
    signed: bool,
    syntax: UID = ImplicitVRLittleEndian,
) -> list[Dataset]:
    """Returns a series with the pixel cells [K, J, I], as unsigned numbers."""
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry(SHAPE)))
    for dataset, plane in zip(datasets, cells, strict=True):
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, high
        dataset.PixelRepresentation = int(signed)
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = plane.astype(f"{order}u{allocated // 8}").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
        if syntax == RLELossless:
            dataset.compress(RLELossless, generate_instance_uid=False)
    return datasets


def save(folder: Path, datasets: list[Dataset]) -> Path:
    for number, dataset in enumerate(datasets):
        syntax = dataset.file_meta.TransferSyntaxUID
        dataset.save_as(
            folder / str(number),
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
            enforce_file_format=True,
        )
    return folder


def read_values(folder: Path, datasets: list[Dataset]) -> np.ndarray:
    return phantoms.read(save(folder, datasets)).volume.array


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("allocated", "stored", "high"), [(16, 12, 15), (16, 12, 13), (16, 8, 11), (16, 15, 15), (32, 16, 31), (32, 12, 15)]
)
@pytest.mark.parametrize("other_bits", ["zeros", "random"])
def test_values_that_end_at_a_larger_high_bit_are_read(
    tmp_path: Path, allocated: int, stored: int, high: int, signed: bool, other_bits: str
) -> None:
    below = high + 1 - stored
    values = make_values(stored, signed=signed)
    cells = (values & ((1 << stored) - 1)) << below
    if other_bits == "random":
        mask = ((1 << allocated) - 1) ^ (((1 << stored) - 1) << below)
        cells |= np.random.default_rng(3).integers(0, 1 << allocated, SHAPE) & mask

    read = read_values(tmp_path, make_series(cells, allocated=allocated, stored=stored, high=high, signed=signed))

    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless],
)
def test_high_bit_has_the_same_effect_in_every_transfer_syntax(tmp_path: Path, syntax: UID) -> None:
    values = make_values(12, signed=True)
    cells = (values & 0xFFF) << 4 | 0x5

    datasets = make_series(cells, allocated=16, stored=12, high=15, signed=True, syntax=syntax)

    np.testing.assert_array_equal(read_values(tmp_path, datasets), values)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("upper", [0x0000, 0xF000, 0x5000])
def test_bits_above_the_value_are_ignored(tmp_path: Path, signed: bool, upper: int) -> None:
    values = make_values(12, signed=signed)

    datasets = make_series((values & 0xFFF) | upper, allocated=16, stored=12, high=11, signed=signed)

    np.testing.assert_array_equal(read_values(tmp_path, datasets), values)


@pytest.mark.parametrize("high", [None, 11, 13, 31])
def test_a_missing_or_impossible_high_bit_is_ignored(tmp_path: Path, high: int | None) -> None:
    values = make_values(16, signed=True)

    datasets = make_series(values & 0xFFFF, allocated=16, stored=16, high=high, signed=True)

    np.testing.assert_array_equal(read_values(tmp_path, datasets), values)


@pytest.mark.parametrize("are_signs_repeated", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_a_high_bit_that_contradicts_the_pixels_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, signed: bool, are_signs_repeated: bool
) -> None:
    values = make_values(12, signed=signed)
    values[0] = 16  # alone, this slice would fit the header
    cells = values & (0xFFFF if are_signs_repeated else 0xFFF)

    read = read_values(tmp_path, make_series(cells, allocated=16, stored=12, high=15, signed=signed))

    np.testing.assert_array_equal(read, values)
    assert "HighBit (0028,0102) is 15, but the pixels use only the lowest 12 bits" in caplog.text


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize("largest", [2048, 3000, 20000])
def test_numbers_that_need_more_bits_than_bits_stored_are_an_error(tmp_path: Path, syntax: UID, largest: int) -> None:
    """Without the error, 3000 HU of an implant would be -1096 HU."""
    values = np.full(SHAPE, -1000)
    values[1] = 40  # the slice with the implant has no negative values
    values[1, 3, 4] = largest

    datasets = make_series(values & 0xFFFF, allocated=16, stored=12, high=11, signed=True, syntax=syntax)

    with pytest.raises(
        PixelDataError, match=rf"BitsStored .*: expected at least \d+ bits .* -1000 to {largest}, got 12"
    ):
        read_values(tmp_path, datasets)


CODED_SHAPE = (4, 40, 45)
"""OpenJPEG needs at least 32 rows and columns for its default number of resolutions."""


def encode_jpeg_ls(cells: np.ndarray) -> bytes:
    rows, columns = cells.shape
    return bytes(pytest.importorskip("jpeg_ls").encode_buffer(cells.tobytes(), rows, columns, 1, 16))


def encode_jpeg_2000(cells: np.ndarray) -> bytes:
    utils = pytest.importorskip("openjpeg.utils")
    return bytes(utils.encode_array(cells, bits_stored=16, photometric_interpretation=2, use_mct=False))


ENCODERS = {JPEGLSLossless: encode_jpeg_ls, JPEG2000Lossless: encode_jpeg_2000}


def make_coded_series(values: np.ndarray, syntax: UID, *, signed: bool = True) -> list[Dataset]:
    """Returns a series with 12 Bits Stored whose codestreams contain numbers [K, J, I] of 16 bits."""
    datasets = make_series(values & 0xFFFF, allocated=16, stored=12, high=11, signed=signed)
    for dataset, plane in zip(datasets, values.astype("<i2" if signed else "<u2"), strict=True):
        dataset.Rows, dataset.Columns = plane.shape
        dataset.PixelData = encapsulate([ENCODERS[syntax](np.ascontiguousarray(plane))])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
    return datasets


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("largest", [2048, 3000, 20000])
def test_numbers_beyond_bits_stored_in_a_codestream_are_an_error(tmp_path: Path, syntax: UID, largest: int) -> None:
    values = np.full(CODED_SHAPE, -1000)
    values[1] = 40
    values[1, 3, 4] = largest

    with pytest.raises(PixelDataError, match=rf"BitsStored .* -1000 to {largest}, got 12"):
        read_values(tmp_path, make_coded_series(values, syntax))


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("signed", [False, True])
def test_numbers_within_bits_stored_in_a_codestream_of_more_bits_are_read(
    tmp_path: Path, syntax: UID, signed: bool
) -> None:
    low, high = (-2048, 2047) if signed else (0, 4095)
    values = np.random.default_rng(4).integers(low, high, CODED_SHAPE, endpoint=True)
    values[0, 0, :2] = low, high

    np.testing.assert_array_equal(read_values(tmp_path, make_coded_series(values, syntax, signed=signed)), values)


def test_negative_values_with_and_without_repeated_sign_are_read_if_the_former_are_padding(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(-1000, 2047, SHAPE)
    cells = values & 0xFFF
    cells[:, 0, :] = -2000 & 0xFFFF
    datasets = make_series(cells, allocated=16, stored=12, high=11, signed=True)
    for dataset in datasets:
        dataset.PixelPaddingValue = -2000

    read = read_values(tmp_path, datasets)

    np.testing.assert_array_equal(read[:, 1:], values[:, 1:])
    assert (read[:, 0] == values[:, 1:].min()).all()


def test_padding_is_compared_with_the_value_at_high_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(100, 4095, SHAPE)
    values[:, 0, :] = 5
    datasets = make_series(values << 4, allocated=16, stored=12, high=15, signed=False)
    for dataset in datasets:
        dataset.PixelPaddingValue = 5

    read = read_values(tmp_path, datasets)

    assert read.min() == values[:, 1:].min()
