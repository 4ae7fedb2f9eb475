"""Attribute values that are equal in all files of a series are converted once, with the same results as in pydicom."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from clickseg.dicom.conversion import ConversionCache
from tests.helpers import phantoms

KEYWORDS = ("ImageOrientationPatient", "PatientName", "PixelPaddingValue", "Rows", "SOPInstanceUID", "SliceThickness")


def save(folder: Path, datasets: list[Dataset], *, implicit: bool = False) -> list[Path]:
    """Writes data sets, and returns the paths of the files."""
    if implicit:
        for dataset in datasets:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return sorted(phantoms.save(folder, datasets).iterdir())


@pytest.mark.parametrize("implicit", [False, True])
def test_values_are_the_same_as_in_pydicom(tmp_path: Path, implicit: bool) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    for number, dataset in enumerate(datasets):
        dataset.PixelPaddingValue, dataset.PixelRepresentation = -number, 1
        dataset.SliceThickness = str(number // 2)
    conversions = ConversionCache((*KEYWORDS, "Units"))

    for path in save(tmp_path, datasets, implicit=implicit):
        header, expected = dcmread(path), dcmread(path)
        for keyword in (*KEYWORDS, "Units"):
            assert conversions.value(header, keyword) == expected.get(keyword), keyword
            assert header.get(keyword) == expected.get(keyword), keyword


def test_the_character_set_is_part_of_the_cache_key(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((2, 4, 4))))
    for dataset, character_set in zip(datasets, ("ISO_IR 100", "ISO_IR 144"), strict=True):
        dataset.SpecificCharacterSet, dataset.PatientName = character_set, b"\xd0\xd1".decode("latin-1")
        if character_set == "ISO_IR 144":
            dataset.PatientName = b"\xd0\xd1".decode("iso8859-5")
    conversions = ConversionCache(KEYWORDS)

    names = {str(conversions.value(dcmread(path), "PatientName")) for path in save(tmp_path, datasets)}

    assert names == {b"\xd0\xd1".decode("latin-1"), b"\xd0\xd1".decode("iso8859-5")}


def test_converted_elements_are_shared(tmp_path: Path) -> None:
    first, second = (
        dcmread(path)
        for path in save(tmp_path, phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((2, 4, 4)))))
    )
    conversions = ConversionCache(KEYWORDS)

    for keyword in KEYWORDS:
        conversions.value(first, keyword)
        conversions.value(second, keyword)

    assert first["ImageOrientationPatient"] is second["ImageOrientationPatient"]
    assert first["SOPInstanceUID"] is not second["SOPInstanceUID"]


def test_an_invalid_value_raises_an_error_in_every_file(tmp_path: Path) -> None:
    dataset = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((2, 4, 4))))[0]
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    content = (tmp_path / "a").read_bytes()
    damaged = content.replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US\x01\x00\x28\x00\x11\x00", 1)
    (tmp_path / "a").write_bytes(damaged)
    conversions = ConversionCache(("Rows",))

    for _ in range(2):
        with pytest.raises(Exception, match="bytes"):
            conversions.value(dcmread(tmp_path / "a", stop_before_pixels=True), "Rows")
