"""SEG and SR are valid whatever the attributes of patient, study and compression of the source are."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from highdicom._standard_utils import get_module_attribute_map
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword

from clickseg.dicom.attribute_names import name_with_tag
from clickseg.dicom.attribute_types import attribute_types, item_attribute_types
from clickseg.results.identity import encode_dicom
from tests.helpers import phantoms
from tests.helpers.dicom_files import make_dataset
from tests.helpers.dicom_results import dciodvfy_errors, make_results

Edit = Callable[[Dataset], None]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NEWER_THAN_DCIODVFY = ("IssuerOfClinicalTrialTimePointID",)
ROOT_KEYWORDS = [keyword for keyword in attribute_types() if keyword not in ("StudyInstanceUID", *NEWER_THAN_DCIODVFY)]
VALID_TEXTS = {"AS": "030Y", "CS": "YES", "DA": "20200101", "DS": "1.5", "TM": "120000"}
CODE = make_dataset(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning="Schädel")


def make_files(folder: Path, edit: Edit) -> tuple[list[Path], list[Path]]:
    """Returns the paths of the sources, and of SEG and SR that are made from them."""
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        edit(dataset)
    results = make_results(phantoms.read(phantoms.save(folder / "in", datasets)))
    paths = [folder / "seg.dcm", folder / "sr.dcm"]
    for path, dataset in zip(paths, (results.segmentation, results.report), strict=True):
        path.write_bytes(encode_dicom(dataset))
    return sorted((folder / "in").iterdir()), paths


def make_valid_results(folder: Path, edit: Edit, dciodvfy: str) -> list[Dataset]:
    """Returns SEG and SR, in which the validator finds no error."""
    _, paths = make_files(folder, edit)
    assert [error for path in paths for error in dciodvfy_errors(path, dciodvfy)] == []
    return [dcmread(path) for path in paths]


MODULES = ("patient", "clinical-trial-subject", "general-study", "patient-study", "clinical-trial-study")


def test_the_types_of_the_attributes_are_those_of_highdicom() -> None:
    modules = get_module_attribute_map()
    rows = [row for module in MODULES for row in modules[module]]
    paths = {tuple(row["path"]) for row in rows}
    expected = {path: {row["keyword"]: row["type"] for row in rows if tuple(row["path"]) == path} for path in paths}

    types = {path: dict(item_attribute_types(path[-1]) if path else attribute_types()) for path in paths}

    for path in paths:
        if path[-1:] == ("EquivalentCodeSequence",):
            del types[path]["EquivalentCodeSequence"]  # highdicom ends the recursion of the macro
    assert types == expected
    assert len(paths) == 103


@pytest.mark.parametrize("keyword", ROOT_KEYWORDS)
def test_an_empty_attribute_of_patient_or_study_gives_a_valid_result(
    tmp_path: Path, dciodvfy: str, keyword: str
) -> None:
    vr = dictionary_VR(keyword)

    make_valid_results(tmp_path, lambda dataset: dataset.add_new(keyword, vr, [] if vr == "SQ" else None), dciodvfy)


@pytest.mark.parametrize("keyword", [keyword for keyword in ROOT_KEYWORDS if dictionary_VR(keyword) != "SQ"])
def test_a_single_attribute_of_an_optional_module_gives_a_valid_result(
    tmp_path: Path, dciodvfy: str, keyword: str
) -> None:
    vr = dictionary_VR(keyword)
    value: object = 1 if vr in ("FD", "US") else VALID_TEXTS.get(vr, "a")

    make_valid_results(tmp_path, lambda dataset: dataset.add_new(keyword, vr, value), dciodvfy)


INVALID_ITEMS = {
    "empty item": Dataset(),
    "code without scheme": make_dataset(CodeValue="1", CodeMeaning="a"),
    "code without meaning": make_dataset(CodeValue="1", CodingSchemeDesignator="99X"),
    "code with an empty meaning": make_dataset(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning=""),
    "code without value": make_dataset(CodingSchemeDesignator="99X", CodeMeaning="a"),
    "reference without UID": make_dataset(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=""),
    "universal ID without its type": make_dataset(UniversalEntityID="1.2"),
}


@pytest.mark.parametrize("name", INVALID_ITEMS)
@pytest.mark.parametrize(
    "keyword",
    ["ProcedureCodeSequence", "ReferencedStudySequence", "IssuerOfAccessionNumberSequence", "OtherPatientIDsSequence"],
)
def test_a_sequence_with_an_invalid_item_is_omitted(
    tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture, keyword: str, name: str
) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.add_new(keyword, "SQ", [INVALID_ITEMS[name]])

    for result in make_valid_results(tmp_path, edit, dciodvfy):
        assert keyword not in result
    assert f"{name_with_tag(keyword)} of the source is invalid" in caplog.text


ISSUER = make_dataset(LocalNamespaceEntityID="a")
INVALID_STRUCTURES: dict[str, tuple[str, object]] = {
    "two issuers": ("IssuerOfAdmissionIDSequence", [ISSUER, deepcopy(ISSUER)]),
    "issuer without ID": ("IssuerOfAdmissionIDSequence", [make_dataset(UniversalEntityIDType="DNS")]),
    "type without universal ID": (
        "IssuerOfAdmissionIDSequence",
        [make_dataset(LocalNamespaceEntityID="a", UniversalEntityIDType="DNS")],
    ),
    "empty sequence in an item": (
        "OtherPatientIDsSequence",
        [make_dataset(PatientID="a", TypeOfPatientID="TEXT", IssuerOfPatientIDQualifiersSequence=[])],
    ),
    "two models": ("ManufacturerModelName", ["a", "b"]),
    "two positions in place of three": (
        "GroupOfPatientsIdentificationSequence",
        [make_dataset(PatientID="a", SubjectRelativePositionInImage=[1, 2])],
    ),
}


@pytest.mark.parametrize("name", INVALID_STRUCTURES)
def test_an_attribute_with_an_invalid_number_of_values_or_items_is_omitted(
    tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    keyword, value = INVALID_STRUCTURES[name]

    for result in make_valid_results(tmp_path, lambda dataset: setattr(dataset, keyword, value), dciodvfy):
        assert result.get(keyword) != value  # the model is that of ClickSeg
    assert f"{name_with_tag(keyword)} of the source is invalid" in caplog.text


def test_complete_attributes_are_copied(tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.ProcedureCodeSequence = [CODE]
        dataset.ClinicalTrialSponsorName, dataset.ClinicalTrialProtocolID = "a", "b"
        dataset.ClinicalTrialSubjectID = "c"
        dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "d"
        dataset.ResponsiblePerson, dataset.ResponsiblePersonRole = "Doe^Jane", "PARENT"
        dataset.PatientSpeciesDescription = "Canis lupus familiaris"
        dataset.ReasonForVisit = "first line\r\nsecond line"

    for result in make_valid_results(tmp_path, edit, dciodvfy):
        assert result.ProcedureCodeSequence[0].CodeMeaning == "Schädel"
        assert (result.ClinicalTrialSponsorName, result.ClinicalTrialSubjectID) == ("a", "c")
        assert (result.PatientIdentityRemoved, result.DeidentificationMethod) == ("YES", "d")
        assert (result.ResponsiblePerson, result.ResponsiblePersonRole) == ("Doe^Jane", "PARENT")
        assert result.PatientBreedDescription in ("", None)
        assert result.ReasonForVisit == "first line\r\nsecond line"
    assert "of the source" not in caplog.text


@pytest.mark.parametrize(
    ("character_set", "text"),
    [("ISO_IR 100", "Schädel"), ("GBK", "王小东"), (["", "ISO 2022 IR 149"], "홍길동"), ("ISO_IR 192", "王小东")],
)
def test_text_in_sequences_is_in_the_character_set_of_the_result(
    tmp_path: Path, dciodvfy: str, character_set: object, text: str
) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = character_set
        item = make_dataset(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning=text)
        dataset.ProcedureCodeSequence, dataset.StudyDescription, dataset.Manufacturer = [item], text, text

    for result in make_valid_results(tmp_path, edit, dciodvfy):
        assert result.ProcedureCodeSequence[0].CodeMeaning == text
        assert result.StudyDescription == text
        assert result.ContributingEquipmentSequence[0].Manufacturer == text


def replace_bytes(keyword: str, value: bytes, character_set: bytes | None) -> Edit:
    """Returns an edit that sets the bytes of a text, and the name of the character set."""

    def edit(dataset: Dataset) -> None:
        if character_set is None:
            dataset.pop("SpecificCharacterSet", None)
        else:
            dataset.add(DataElement("SpecificCharacterSet", "CS", character_set.decode()))
        dataset.add_new(tag_for_keyword(keyword), "UN", value + b" " * (len(value) % 2))
        dataset[keyword].VR = dictionary_VR(keyword)

    return edit


def read_raw(path: Path, keyword: str) -> bytes:
    element = dcmread(path).get_item(tag_for_keyword(keyword))
    return bytes(element.value).rstrip()  # type: ignore[union-attr,arg-type]


LATIN_1, UTF_8 = "Müller^Jörg".encode("latin-1"), "Müller^Jörg".encode()


@pytest.mark.parametrize(
    ("value", "character_set"),
    [
        (LATIN_1, None),
        (LATIN_1, b""),
        (LATIN_1, b"ISO_IR 6"),
        (UTF_8, None),
        (LATIN_1, b"ISO_IR 192"),
        (UTF_8, b"KLINGON 1"),
    ],
)
@pytest.mark.parametrize("keyword", ["StudyDescription", "PatientComments", "InstitutionName", "OtherPatientNames"])
def test_text_outside_its_character_set_is_omitted_with_a_warning(
    tmp_path: Path,
    dciodvfy: str,
    caplog: pytest.LogCaptureFixture,
    value: bytes,
    character_set: bytes | None,
    keyword: str,
) -> None:
    for result in make_valid_results(tmp_path, replace_bytes(keyword, value, character_set), dciodvfy):
        assert keyword not in result
    assert f"{name_with_tag(keyword)} of the source is invalid, or outside its character set" in caplog.text


@pytest.mark.parametrize("character_set", [None, b"", b"ISO_IR 6"])
@pytest.mark.parametrize("value", [LATIN_1, UTF_8])
def test_a_name_outside_the_default_character_set_keeps_its_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: bytes, character_set: bytes | None
) -> None:
    sources, results = make_files(tmp_path, replace_bytes("PatientName", value, character_set))

    assert {read_raw(path, "PatientName") for path in (*sources, *results)} == {value}
    assert "PatientName (0010,0010) of the source contains characters outside its character set" in caplog.text


def test_a_name_with_bytes_that_cannot_be_decoded_is_copied_with_a_warning(
    tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture
) -> None:
    for result in make_valid_results(tmp_path, replace_bytes("PatientName", LATIN_1, b"ISO_IR 192"), dciodvfy):
        assert str(result.PatientName) == "M\ufffdller^J\ufffdrg"
    assert "PatientName (0010,0010) of the source contains bytes that are invalid in its character set" in caplog.text


@pytest.mark.parametrize("character_set", [b"KLINGON 1", b"ISO_IR192", b"UTF-8", b"utf8", b"ISO_IR 192\\ISO_IR 192"])
def test_a_utf_8_name_in_an_unknown_character_set_is_that_name(
    tmp_path: Path, dciodvfy: str, character_set: bytes
) -> None:
    for result in make_valid_results(tmp_path, replace_bytes("PatientName", UTF_8, character_set), dciodvfy):
        assert (str(result.PatientName), result.SpecificCharacterSet) == ("Müller^Jörg", "ISO_IR 192")


@pytest.mark.parametrize("character_set", [b"ISO-IR 100", b"iso_ir 100", b"ISO8859-1", b"latin_1"])
@pytest.mark.parametrize("keyword", ["PatientName", "ReferringPhysicianName"])
def test_text_in_a_misspelled_character_set_is_that_text(
    tmp_path: Path, dciodvfy: str, character_set: bytes, keyword: str
) -> None:
    for result in make_valid_results(tmp_path, replace_bytes(keyword, LATIN_1, character_set), dciodvfy):
        assert (str(result[keyword].value), result.SpecificCharacterSet) == ("Müller^Jörg", "ISO_IR 192")


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("ISO_IR 126", "Διον"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_name_in_a_character_set_of_the_standard_is_that_name(
    tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture, character_set: object, name: str
) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName, dataset.InstitutionName = character_set, name, name[-2:]

    for result in make_valid_results(tmp_path, edit, dciodvfy):
        assert str(result.PatientName) == name
    assert "of the source" not in caplog.text


def test_a_name_in_iso_ir_58_is_that_name(tmp_path: Path, dciodvfy: str) -> None:
    name = b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"  # PS3.5, K.2

    for result in make_valid_results(tmp_path, replace_bytes("PatientName", name, b"\\ISO 2022 IR 58"), dciodvfy):
        assert str(result.PatientName) == "Wang^XiaoDong=王^小东"


@pytest.mark.parametrize("second", [b"", b"\\ISO 2022 IR 149"])
def test_a_multi_byte_character_set_without_the_default_before_it_has_the_same_names(
    tmp_path: Path, dciodvfy: str, second: bytes
) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87", *second.decode().split("\\")[1:]]
        dataset.PatientName, dataset.StudyDescription = "Yamada^Tarou=山田^太郎", "山田"

    sources, _ = make_files(tmp_path, edit)
    for path in sources:
        declared = b"\\ISO 2022 IR 87" + second
        declared += b" " * (len(declared) % 2)
        path.write_bytes(path.read_bytes().replace(declared, (declared[1:] + b" "), 1))

    results = make_results(phantoms.read(tmp_path / "in"))

    for result in (results.segmentation, results.report):
        assert (str(result.PatientName), result.StudyDescription) == ("Yamada^Tarou=山田^太郎", "山田")
        (tmp_path / "result.dcm").write_bytes(encode_dicom(result))
        assert dciodvfy_errors(tmp_path / "result.dcm", dciodvfy) == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PregnancyStatus", 9),
        ("QualityControlSubject", "TRUE"),
        ("SmokingStatus", "MAYBE"),
        ("PatientIdentityRemoved", "TRUE"),
        ("PatientSexNeutered", "YES"),
        ("PatientSex", "MALE"),
    ],
)
def test_a_value_that_is_not_one_of_those_of_the_standard_is_omitted(
    tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture, keyword: str, value: object
) -> None:
    for result in make_valid_results(tmp_path, lambda dataset: setattr(dataset, keyword, value), dciodvfy):
        assert not result.get(keyword)
    assert f"{name_with_tag(keyword)} of the source is invalid" in caplog.text


SPECIMEN = make_dataset(
    SpecimenIdentifier="S1",
    SpecimenUID="1.2.3",
    IssuerOfTheSpecimenIdentifierSequence=[],
    SpecimenPreparationSequence=[],
)


@pytest.mark.parametrize("missing", ["", "ContainerTypeCodeSequence", "SpecimenDescriptionSequence", "SpecimenUID"])
def test_a_specimen_is_copied_if_its_description_is_complete(
    tmp_path: Path, dciodvfy: str, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.ContainerIdentifier, dataset.ImageCenterPointCoordinatesSequence = "C1", []
        dataset.IssuerOfTheContainerIdentifierSequence = dataset.ContainerTypeCodeSequence = []
        dataset.SpecimenDescriptionSequence = [deepcopy(SPECIMEN)]
        for owner in (dataset, dataset.SpecimenDescriptionSequence[0]):
            owner.pop(missing, None)

    segmentation, _ = make_valid_results(tmp_path, edit, dciodvfy)

    assert ("ContainerIdentifier" in segmentation) is (not missing)
    assert ("the description of a specimen in the source is incomplete" in caplog.text) is bool(missing)


def test_only_the_first_value_of_a_time_point_of_a_trial_is_copied(tmp_path: Path, dciodvfy: str) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.ClinicalTrialSponsorName, dataset.ClinicalTrialProtocolID = "a", "b"
        dataset.ClinicalTrialSubjectID, dataset.ClinicalTrialTimePointID = "c", ["t1", "t2"]

    for result in make_valid_results(tmp_path, edit, dciodvfy):
        assert result.ClinicalTrialTimePointID == "t1"


@pytest.mark.parametrize(("keyword", "value"), [("PatientID", "1" * 70), ("PatientName", "a" * 70)])
def test_an_id_or_name_that_is_too_long_is_copied_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, keyword: str, value: str
) -> None:
    _, results = make_files(tmp_path, lambda dataset: setattr(dataset, keyword, value))

    assert [str(dcmread(path)[keyword].value) for path in results] == [value, value]
    assert (
        f"{name_with_tag(keyword)} of the source is invalid (PS3.5, 6.2), such as too long, and is copied unchanged"
        in caplog.text
    )
    assert value not in caplog.text


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"LossyImageCompression": "01"}, ("01", None, None)),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": None}, ("01", None, None)),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": "10"}, ("01", 10, None)),
        ({"LossyImageCompression": "01", "LossyImageCompressionMethod": ""}, ("01", None, None)),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": ["8", "2.5"]}, ("01", [8, 2.5], None)),
        ({"LossyImageCompression": "01", "LossyImageCompressionMethod": "ISO_15444_1"}, ("01", None, "ISO_15444_1")),
        ({"LossyImageCompression": "01", "LossyImageCompressionMethod": "jpeg 2000"}, ("01", None, None)),
        ({"LossyImageCompression": "00", "LossyImageCompressionRatio": "10"}, ("00", None, None)),
        ({"LossyImageCompression": ""}, ("00", None, None)),
        ({"LossyImageCompression": "YES"}, ("01", None, None)),
        ({}, ("00", None, None)),
    ],
)
def test_lossy_compression_of_the_source_is_valid_in_the_result(
    tmp_path: Path, dciodvfy: str, attributes: dict[str, object], expected: tuple[object, ...]
) -> None:
    def edit(dataset: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)

    segmentation, _ = make_valid_results(tmp_path, edit, dciodvfy)

    keywords = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
    assert tuple(segmentation.get(keyword) for keyword in keywords) == expected


def test_a_seg_of_one_image_with_lossy_compression_is_lossy(tmp_path: Path, dciodvfy: str) -> None:
    def edit(dataset: Dataset) -> None:
        is_compressed = dataset.InstanceNumber == 3
        dataset.LossyImageCompression = "01" if is_compressed else "00"
        if is_compressed:
            dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod = "8", "ISO_15444_1"

    segmentation, _ = make_valid_results(tmp_path, edit, dciodvfy)

    assert (segmentation.LossyImageCompression, segmentation.LossyImageCompressionRatio) == ("01", 8)
