"""Headers from which SEG and SR are created: character sets, missing attributes, invalid values."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pydicom import DataElement, Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import CTImageStorage

from clickseg.dicom.source_digest import source_digest
from clickseg.dicom.source_headers import reference_headers
from clickseg.results.identity import encode_dicom
from tests.helpers import phantoms
from tests.helpers.dicom_results import dciodvfy_errors, make_results

JAPANESE = ["ISO 2022 IR 13", "ISO 2022 IR 87"]
NAMES = {
    "Latin-1": ("ISO_IR 100", "Müller^Jürgen", "ISO_IR 100"),
    "UTF-8": ("ISO_IR 192", "Ψυχή^王小東", "ISO_IR 192"),
    "Chinese GB18030": ("GB18030", "王^小东", "GB18030"),
    "Chinese GBK": ("GBK", "王^小东", "ISO_IR 192"),  # dciodvfy does not support GBK
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", ["ISO 2022 IR 6", "ISO 2022 IR 87"]),
    "Japanese single bytes": (JAPANESE, "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", JAPANESE),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "ISO_IR 192"),  # highdicom does not support 149
    "Cyrillic": ("ISO_IR 144", "Иванов^Иван", "ISO_IR 144"),
    "empty": ("", "Smith^John", None),
    "only the default": ("ISO_IR 6", "Smith^John", None),
    "one set with code extensions": ("ISO 2022 IR 100", "Müller^Jürgen", "ISO_IR 100"),
    "mixed": (["ISO_IR 100", "ISO 2022 IR 87"], "Müller=山田", "ISO_IR 192"),
}


@pytest.mark.parametrize(("character_set", "name", "written_set"), NAMES.values(), ids=NAMES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_are_copied_in_every_character_set(
    tmp_path: Path, dciodvfy: str, character_set: object, name: str, written_set: object
) -> None:
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        dataset.SpecificCharacterSet = character_set
        dataset.PatientName = name
    series = phantoms.read(phantoms.save(tmp_path / "in", datasets))

    results = make_results(series)

    for number, dataset in enumerate((results.segmentation, results.report)):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(encode_dicom(dataset))
        result = dcmread(path)
        assert str(result.PatientName) == name
        assert result.get("SpecificCharacterSet") == written_set
        assert dciodvfy_errors(path, dciodvfy) == []


def test_missing_attributes_of_the_source_are_empty_in_the_result(tmp_path: Path, dciodvfy: str) -> None:
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        for keyword in ("AccessionNumber", "PatientID", "PatientBirthDate", "StudyID", "StudyDate", "SliceThickness"):
            del dataset[keyword]

    results = make_results(phantoms.read(phantoms.save(tmp_path / "in", datasets)))

    for number, dataset in enumerate((results.segmentation, results.report)):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(encode_dicom(dataset))
        result = dcmread(path)
        assert result.PatientID == ""
        assert result.StudyDate == ""
        assert dciodvfy_errors(path, dciodvfy) == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_invalid_values_are_omitted_with_a_warning(
    tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture
) -> None:
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        dataset.PatientAge, dataset.PatientSex, dataset.StudyDate = "0Y", "U", "yesterday"
        dataset.StudyDescription, dataset.PatientBirthDate = "x" * 70, "19330231"
    series = phantoms.read(phantoms.save(tmp_path / "in", datasets))

    with caplog.at_level(logging.WARNING):
        results = make_results(series)

    path = tmp_path / "seg.dcm"
    path.write_bytes(encode_dicom(results.segmentation))
    result = dcmread(path)
    assert "PatientAge" not in result
    assert (result.PatientSex, result.StudyDate, result.PatientBirthDate) == ("", "", "")
    assert dciodvfy_errors(path, dciodvfy) == []
    messages = [record.message for record in caplog.records if record.name.startswith("clickseg")]
    assert sorted(message.split()[0] for message in messages) == [
        "PatientAge",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyDescription",
    ]
    assert "yesterday" not in " ".join(messages)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("keyword", ["PatientBirthDate", "StudyID", "PatientID", "PatientName"])
def test_values_with_a_different_value_representation_are_not_an_error(tmp_path: Path, keyword: str) -> None:
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        dataset[keyword] = DataElement(keyword, "DS", "72.5")

    results = make_results(phantoms.read(phantoms.save(tmp_path, datasets)))

    expected = "72.5" if keyword in ("PatientID", "PatientName") else ""
    assert str(results.segmentation[keyword].value or "") == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_invalid_patient_id_is_copied(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        dataset.PatientID = "9" * 70

    results = make_results(phantoms.read(phantoms.save(tmp_path, datasets)))

    assert results.segmentation.PatientID == "9" * 70


def test_the_sources_are_not_changed(tmp_path: Path) -> None:
    volume = phantoms.hook_volume(phantoms.oblique_geometry())
    classic = phantoms.read(phantoms.write(tmp_path / "classic", volume))
    multi = phantoms.read(phantoms.write_legacy_enhanced(tmp_path / "multi", phantoms.instances(volume)))
    headers = [instance.header for series in (classic, multi) for instance in series.files.instances]
    before = [str(header) for header in headers]

    for series in (classic, multi):
        reference_headers(series.stack)

    assert [str(header) for header in headers] == before


def test_a_digest_does_not_decode_the_items_of_the_source(tmp_path: Path) -> None:
    other_id = Dataset()
    other_id.PatientID, other_id.TypeOfPatientID = "PHANTOM-2", "TEXT"
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        dataset.OtherPatientIDsSequence = [other_id]
    series = phantoms.read(phantoms.save(tmp_path / "in", datasets))
    header = series.sources[0]
    (item,) = series.stack.planes[0].instance.header.OtherPatientIDsSequence

    digest = source_digest([header])

    assert item.get_item("PatientID").is_raw
    assert item.PatientID == "PHANTOM-2"
    assert source_digest([header]) == digest


def test_a_digest_covers_items_that_cannot_be_decoded() -> None:
    digests = set()
    for value in (b"\0", b"\1", b"\1"):
        item = Dataset({0x00101020: RawDataElement(BaseTag(0x00101020), "FD", 1, value, 0, False, True)})
        header = Dataset()
        header.SOPClassUID, header.OtherPatientIDsSequence = CTImageStorage, [item]
        digests.add(source_digest([header]))

    assert len(digests) == 2
