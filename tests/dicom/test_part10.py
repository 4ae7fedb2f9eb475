"""What all files of a series say is converted once, and is what each of them says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from clickseg.dicom.part10 import Conversions
from tests.helpers import phantoms

KEYWORDS = ("ImageOrientationPatient", "PatientName", "PixelPaddingValue", "Rows", "SOPInstanceUID", "SliceThickness")


def saved(folder: Path, datasets: list[Dataset], *, implicit: bool = False) -> list[Path]:
    if implicit:
        for dataset in datasets:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return sorted(phantoms.save(folder, datasets).iterdir())


@pytest.mark.parametrize("implicit", [False, True])
def test_values_are_those_that_pydicom_gives(tmp_path: Path, implicit: bool) -> None:
    datasets = phantoms.instances(phantoms.distinct(phantoms.oblique_geometry()))
    for number, dataset in enumerate(datasets):
        dataset.PixelPaddingValue, dataset.PixelRepresentation = -number, 1
        dataset.SliceThickness = str(number // 2)
    conversions = Conversions((*KEYWORDS, "Units"))

    for path in saved(tmp_path, datasets, implicit=implicit):
        header, expected = dcmread(path), dcmread(path)
        for keyword in (*KEYWORDS, "Units"):
            assert conversions.value(header, keyword) == expected.get(keyword), keyword
            assert header.get(keyword) == expected.get(keyword), keyword


def test_the_same_bytes_are_other_letters_in_another_character_set(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct(phantoms.oblique_geometry((2, 4, 4))))
    for dataset, character_set in zip(datasets, ("ISO_IR 100", "ISO_IR 144"), strict=True):
        dataset.SpecificCharacterSet, dataset.PatientName = character_set, b"\xd0\xd1".decode("latin-1")
        if character_set == "ISO_IR 144":
            dataset.PatientName = b"\xd0\xd1".decode("iso8859-5")
    conversions = Conversions(KEYWORDS)

    names = {str(conversions.value(dcmread(path), "PatientName")) for path in saved(tmp_path, datasets)}

    assert names == {b"\xd0\xd1".decode("latin-1"), b"\xd0\xd1".decode("iso8859-5")}


def test_what_was_converted_once_is_shared(tmp_path: Path) -> None:
    first, second = (
        dcmread(path)
        for path in saved(tmp_path, phantoms.instances(phantoms.distinct(phantoms.oblique_geometry((2, 4, 4)))))
    )
    conversions = Conversions(KEYWORDS)

    for keyword in KEYWORDS:
        conversions.value(first, keyword)
        conversions.value(second, keyword)

    assert first["ImageOrientationPatient"] is second["ImageOrientationPatient"]
    assert first["SOPInstanceUID"] is not second["SOPInstanceUID"]


def test_what_cannot_be_converted_raises_in_every_file(tmp_path: Path) -> None:
    dataset = phantoms.instances(phantoms.distinct(phantoms.oblique_geometry((2, 4, 4))))[0]
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    content = (tmp_path / "a").read_bytes()
    damaged = content.replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US\x01\x00\x28\x00\x11\x00", 1)
    (tmp_path / "a").write_bytes(damaged)
    conversions = Conversions(("Rows",))

    for _ in range(2):
        with pytest.raises(Exception, match="bytes"):
            conversions.value(dcmread(tmp_path / "a", stop_before_pixels=True), "Rows")
