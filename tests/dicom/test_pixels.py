"""Stored pixels are decoded and rescaled correctly in all transfer syntaxes that hospitals use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from clickseg.core.errors import PixelDataError
from clickseg.dicom.conversion import ConversionCache
from clickseg.dicom.decoding import frame_size
from clickseg.dicom.part10 import TEXT_KEYWORDS, Instance, read_header
from clickseg.dicom.pixels import read_cells
from clickseg.dicom.stored_bits import extract_values
from tests.helpers import phantoms

Encoder = Callable[[np.ndarray], bytes]

NATIVE = {
    "implicit little endian": ImplicitVRLittleEndian,
    "explicit little endian": ExplicitVRLittleEndian,
    "explicit big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
LOSSLESS: dict[str, tuple[UID, Encoder]] = {
    "JPEG lossless .57": (JPEGLossless, lambda a: imagecodecs.ljpeg_encode(a, bitspersample=16)),
    "JPEG lossless .70": (JPEGLosslessSV1, lambda a: imagecodecs.ljpeg_encode(a, bitspersample=16)),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "JPEG 2000": (
        JPEG2000Lossless,
        lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, level=0),
    ),
    "HTJ2K": (HTJ2KLossless, lambda a: imagecodecs.htj2k_encode(a, reversible=True)),
}


def lossless_cases() -> list[object]:
    """Returns the lossless encodings; those without an encoder are skipped."""
    has_htj2k = hasattr(imagecodecs, "htj2k_encode")
    reason = "imagecodecs for Python 3.10 does not encode HTJ2K"
    skip_mark = pytest.mark.skipif(not has_htj2k, reason=reason)
    return [pytest.param(*LOSSLESS[name], id=name, marks=[skip_mark] * (name == "HTJ2K")) for name in LOSSLESS]


@pytest.fixture
def slices() -> list[Dataset]:
    geometry = phantoms.oblique_geometry((3, 24, 40))
    return phantoms.instances(phantoms.distinct_volume(geometry))


def decode_with_pydicom(slices: list[Dataset]) -> np.ndarray:
    return np.stack([dataset.pixel_array for dataset in slices]).astype(np.float32)


@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
def test_uncompressed_transfer_syntaxes_are_read(tmp_path: Path, slices: list[Dataset], syntax: UID) -> None:
    values = decode_with_pydicom(slices)
    tmp_path.mkdir(exist_ok=True)
    for number, dataset in enumerate(slices):
        little_endian = syntax != ExplicitVRBigEndian
        if not little_endian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(
            tmp_path / str(number),
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=little_endian,
            enforce_file_format=True,
        )

    np.testing.assert_array_equal(phantoms.read(tmp_path).volume.array, values)


@pytest.mark.parametrize(("syntax", "encode"), lossless_cases())
def test_lossless_compression_has_the_same_values(
    tmp_path: Path, slices: list[Dataset], syntax: UID, encode: Encoder
) -> None:
    values = decode_with_pydicom(slices)
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        dataset.PixelRepresentation = 0
        set_encapsulated_pixels(dataset, encode(stored), syntax)

    np.testing.assert_array_equal(phantoms.read(phantoms.save(tmp_path, slices)).volume.array, values)


def set_encapsulated_pixels(dataset: Dataset, frame: bytes, syntax: UID) -> None:
    """Replaces the pixel data of an instance by one compressed frame."""
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax


def test_rle_is_read(tmp_path: Path, slices: list[Dataset]) -> None:
    values = decode_with_pydicom(slices)
    for dataset in slices:
        dataset.compress(RLELossless, generate_instance_uid=False)

    np.testing.assert_array_equal(phantoms.read(phantoms.save(tmp_path, slices)).volume.array, values)


def test_jpeg_baseline_is_read_within_the_error_of_its_compression(tmp_path: Path, slices: list[Dataset]) -> None:
    values = np.clip(decode_with_pydicom(slices) / 20, 0, 255)
    for dataset, frame in zip(slices, values, strict=True):
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        set_encapsulated_pixels(dataset, imagecodecs.jpeg8_encode(frame.astype(np.uint8), level=95), JPEGBaseline8Bit)

    np.testing.assert_allclose(phantoms.read(phantoms.save(tmp_path, slices)).volume.array, values, atol=6)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"])
def test_retired_jpeg_is_rejected_with_its_name(tmp_path: Path, slices: list[Dataset], syntax: str) -> None:
    for dataset in slices:
        set_encapsulated_pixels(dataset, b"\xff\xd8\xff\xd9", UID(syntax))

    with pytest.raises(PixelDataError, match=rf"JPEG .*\({syntax}\) is retired") as caught:
        phantoms.read_geometry(phantoms.save(tmp_path, slices))

    assert "dcmconv" in (caught.value.hint or "")


def test_extended_jpeg_with_12_bits_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.BitsStored, dataset.HighBit = 12, 11
        set_encapsulated_pixels(dataset, b"\xff\xd8\xff\xd9", JPEGExtended12Bit)

    with pytest.raises(PixelDataError, match="has 12 bits per pixel"):
        phantoms.read_geometry(phantoms.save(tmp_path, slices))


def test_every_slice_has_its_own_slope_and_intercept(tmp_path: Path, slices: list[Dataset]) -> None:
    stored = decode_with_pydicom(slices)
    for number, dataset in enumerate(slices):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(0.5 + number), str(-100 * number)

    volume = phantoms.read(phantoms.save(tmp_path, slices)).volume

    for number in range(3):
        np.testing.assert_allclose(volume.array[number], stored[number] * (0.5 + number) - 100 * number)


def test_a_slice_with_large_values_after_one_with_small_values_does_not_overflow(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    slices[0].PixelData = np.zeros(24 * 40, "<i2").tobytes()
    slices[2].PixelData = np.full(24 * 40, 65535, "<u2").tobytes()
    slices[2].PixelRepresentation = 0
    slices[2].RescaleSlope = "10"

    volume = phantoms.read(phantoms.save(tmp_path, slices)).volume

    assert volume.array[2].max() == 655350
    assert volume.array[0].max() == 0


def test_padding_is_replaced_by_the_lowest_other_value(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, "<i2").copy()
        stored[:50] = -2000
        stored[stored == 0] = -900
        dataset.PixelData = stored.tobytes()
        dataset.PixelPaddingValue = -2000
    slices[1].PixelData = np.frombuffer(slices[1].PixelData, "<i2").clip(-1024, None).astype("<i2").tobytes()

    volume = phantoms.read(phantoms.save(tmp_path, slices)).volume

    assert volume.array.min() == -1024
    assert (volume.array[0].ravel()[:50] == -1024).all()


def test_a_range_of_padding_values_is_replaced(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, "<i2").copy()
        stored[:30] = np.linspace(-2000, -1500, 30)
        dataset.PixelData = stored.tobytes()
        dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = -2000, -1500

    assert phantoms.read(phantoms.save(tmp_path, slices)).volume.array.min() >= 0


def test_a_signed_padding_value_that_is_written_as_unsigned_is_replaced(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, "<i2").copy()
        stored[:30] = -2000
        dataset.PixelData = stored.tobytes()
        dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)

    assert phantoms.read(phantoms.save(tmp_path, slices)).volume.array.min() >= 0


def test_a_series_with_only_padding_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.PixelData = np.full(24 * 40, -2000, "<i2").tobytes()
        dataset.PixelPaddingValue = -2000

    with pytest.raises(PixelDataError, match="all pixels of the series are PixelPaddingValue"):
        phantoms.read(phantoms.save(tmp_path, slices))


def test_monochrome1_is_not_inverted(tmp_path: Path, slices: list[Dataset]) -> None:
    values = decode_with_pydicom(slices)
    for dataset in slices:
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.PresentationLUTShape = "INVERSE"

    np.testing.assert_array_equal(phantoms.read(phantoms.save(tmp_path, slices)).volume.array, values)


def test_a_modality_lut_is_applied(tmp_path: Path, slices: list[Dataset]) -> None:
    table = (np.arange(4096, dtype=np.uint16) * 3 + 7).tolist()
    for dataset in slices:
        dataset.PixelRepresentation = 0
        lut = Dataset()
        lut.LUTDescriptor, lut.ModalityLUTType = [4096, 0, 16], "US"
        lut["LUTDescriptor"].VR = "US"
        lut.add_new("LUTData", "US", table)
        dataset.ModalityLUTSequence = [lut]
    values = decode_with_pydicom(slices) * 3 + 7

    np.testing.assert_array_equal(phantoms.read(phantoms.save(tmp_path, slices)).volume.array, values)


def test_a_ct_without_hounsfield_units_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.ImageType, dataset.RescaleType = ["DERIVED", "PRIMARY", "PERFUSION"], "US"

    with pytest.raises(PixelDataError, match=r"RescaleType \(0028,1054\): expected HU"):
        phantoms.read(phantoms.save(tmp_path, slices))


def test_a_ct_without_rescale_slope_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        del dataset.RescaleSlope

    with pytest.raises(PixelDataError, match=r"RescaleSlope .* is missing"):
        phantoms.read(phantoms.save(tmp_path, slices))


def test_truncated_pixel_data_are_detected_by_the_header_alone(tmp_path: Path, slices: list[Dataset]) -> None:
    folder = phantoms.save(tmp_path, slices)
    path = sorted(folder.iterdir())[1]
    path.write_bytes(path.read_bytes()[:-500])

    with pytest.raises(PixelDataError, match=rf"{path.name}: truncated: 40 x 24 x 1 pixels need 1920 bytes"):
        phantoms.read_geometry(folder)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_codestream_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        set_encapsulated_pixels(dataset, imagecodecs.jpegls_encode(stored)[:60], JPEGLSLossless)

    with pytest.raises(PixelDataError, match="pixel data cannot be decoded"):
        phantoms.read(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize(("syntax", "encode"), lossless_cases())
@pytest.mark.parametrize("size", [(8, 8), (24, 41), (600, 40)])
def test_a_codestream_with_a_size_that_differs_from_the_header_is_rejected(
    tmp_path: Path, slices: list[Dataset], syntax: UID, encode: Encoder, size: tuple[int, int]
) -> None:
    for dataset in slices:
        dataset.PixelRepresentation = 0
        set_encapsulated_pixels(dataset, encode(np.zeros(size, np.uint16)), syntax)

    with pytest.raises(
        PixelDataError,
        match=rf"codestream: expected \(24, 40, 1\) .* as in the header, got \({size[0]}, {size[1]}, 1\)",
    ):
        phantoms.read(phantoms.save(tmp_path, slices))


def test_a_codestream_with_more_samples_than_the_header_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.PixelRepresentation = 0
        codestream = bytearray(
            imagecodecs.jpeg2k_encode(np.zeros((24, 40), np.uint16), reversible=True, codecformat="j2k")
        )
        codestream[40:42] = (60).to_bytes(2, "big")
        set_encapsulated_pixels(dataset, bytes(codestream), JPEG2000Lossless)

    with pytest.raises(PixelDataError, match=r"codestream: expected .* got \(24, 40, 60\)"):
        phantoms.read(phantoms.save(tmp_path, slices))


@pytest.mark.parametrize("codestream", [b"", b"\xff\xd8", b"\xff\x4f\xff\x51\0", b"\xff\xd8\xff\xc0\0", b"no image"])
def test_a_codestream_without_frame_header_has_no_size(codestream: bytes) -> None:
    assert frame_size(codestream) is None


def test_a_deflated_file_without_pixel_data_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        del dataset.PixelData
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    with pytest.raises(PixelDataError, match="pixel data cannot be decoded"):
        phantoms.read(phantoms.save(tmp_path, slices))


def test_a_file_that_is_deleted_after_the_scan_is_an_error(tmp_path: Path, slices: list[Dataset]) -> None:
    geometry = phantoms.read_geometry(phantoms.save(tmp_path, slices))
    path = sorted(tmp_path.iterdir())[0]
    path.unlink()

    with pytest.raises(PixelDataError, match=path.name):
        phantoms.load_volume(geometry)


MAX_LOSSY_ERROR_HU = {"JPEG2000TransferSyntax": 5, "JPEGLSLossyTransferSyntax": 2}
REJECTED_SYNTAXES = ("JPEGProcess10_12", "JPEGProcess2_4", "JPEGProcess6_8")


def test_real_images_in_15_transfer_syntaxes_have_the_same_values(fixtures: Path, tmp_path: Path) -> None:
    folder = fixtures / "edge_transfer_syntaxes_ct"
    hounsfield = dcmread(folder / "CTImage.dcm").pixel_array.astype(np.float32) - 1024
    for path in sorted(folder.glob("CTImage.dcm_*")):
        pair = phantoms.save(tmp_path / path.name, [dcmread(path), _make_next_slice(path)])
        name = path.name.removeprefix("CTImage.dcm_")
        if name.startswith(REJECTED_SYNTAXES):
            with pytest.raises(PixelDataError):
                phantoms.read(pair)
        elif name.startswith("JPEGProcess1Transfer"):  # 8 bits: windowed before compression
            assert np.corrcoef(phantoms.read(pair).volume.array[0].ravel(), hounsfield.ravel())[0, 1] > 0.4
        else:
            difference = np.abs(phantoms.read(pair).volume.array[0] - hounsfield).max()
            assert difference <= MAX_LOSSY_ERROR_HU.get(name.partition("_")[0], 0), name


@pytest.mark.parametrize("pattern", ["edge_multiframe/emri_small*.dcm", "edge_transfer_syntaxes_mr/**/*.dcm"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_mr_in_every_transfer_syntax_has_the_same_stored_values(fixtures: Path, pattern: str) -> None:
    paths = sorted(fixtures.glob(pattern))
    contents = [read_header(path, path.name, ConversionCache(TEXT_KEYWORDS)) for path in paths]
    instances = [content for content in contents if isinstance(content, Instance)]

    decoded = [extract_values(read_cells(instance), instance.header) for instance in instances]

    assert len({instance.header.file_meta.TransferSyntaxUID for instance in instances}) >= 5
    assert len(decoded) == len(paths)
    assert all(np.array_equal(frames, decoded[0]) for frames in decoded)


def _make_next_slice(path: Path) -> Dataset:
    dataset = dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.4"
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y, z + 5]
    return dataset
