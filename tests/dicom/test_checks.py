"""An attribute with an invalid value is one error that names the attribute, never a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from clickseg.core.errors import SeriesError
from clickseg.dicom.checks import check_attributes
from clickseg.dicom.part10 import Instance
from tests.helpers import phantoms
from tests.helpers.dicom_results import make_results


def make_instance() -> Instance:
    """Returns an instance with the header of a PET image."""
    (header, *_) = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")
    return Instance(Path("a.dcm"), "a.dcm", header, 1000)


def raw_element(keyword: str, vr: str, value: bytes) -> RawDataElement:
    """Returns an element as read from a file, before its value is converted."""
    return RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)


def test_valid_attributes_are_accepted() -> None:
    instance = make_instance()

    check_attributes([instance])

    assert instance.header == make_instance().header


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (DataElement("Rows", "US", [11, 12]), r"a\.dcm: Rows \(0028,0010\): expected an integer, got \[11, 12\]"),
        (DataElement("Columns", "DS", "13.5"), r"Columns \(0028,0011\): expected an integer"),
        (DataElement("PixelPaddingValue", "OW", b"\0\0"), r"PixelPaddingValue \(0028,0120\): expected an integer"),
        (DataElement("BitsStored", "LO", "twelve"), r"BitsStored \(0028,0101\): expected an integer"),
        (DataElement("ModalityLUTSequence", "LO", "none"), r"ModalityLUTSequence \(0028,3000\): expected a sequence"),
        (raw_element("Rows", "US", b"\1"), r"Rows \(0028,0010\): cannot be read"),
        (
            raw_element("NumberOfFrames", "IS", b"many"),
            r"NumberOfFrames \(0028,0008\): expected an integer, got 'many'",
        ),
        (raw_element("AttenuationCorrected", "RS", b"YES "), r"AttenuationCorrected \(0018,9759\): cannot be read"),
        (raw_element("SUVType", "XX", b"BW"), r"SUVType \(0054,1006\): cannot be read"),
        (raw_element("RadiopharmaceuticalInformationSequence", "SQ", b"\0" * 4), r"\(0054,0016\): cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_attribute_with_an_invalid_value_is_named(element: DataElement | RawDataElement, message: str) -> None:
    instance = make_instance()
    instance.header[element.tag] = element

    with pytest.raises(SeriesError, match=message):
        check_attributes([instance])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_item_that_cannot_be_read_is_named() -> None:
    instance = make_instance()
    tracer = Dataset()
    tracer[Tag("RadionuclideCodeSequence")] = raw_element("RadionuclideCodeSequence", "SQ", b"\0" * 4)
    instance.header.RadiopharmaceuticalInformationSequence = [tracer]

    with pytest.raises(SeriesError, match=r"RadiopharmaceuticalInformationSequence .*: an item cannot be read"):
        check_attributes([instance])


@pytest.mark.parametrize("keyword", ["SeriesNumber", "SliceThickness", "PatientAge"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_invalid_attribute_that_is_only_copied_is_not_an_error(tmp_path: Path, keyword: str) -> None:
    folder = phantoms.write(tmp_path, phantoms.hook_volume(phantoms.oblique_geometry()))
    vr = {"SeriesNumber": "IS", "SliceThickness": "DS", "PatientAge": "AS"}[keyword]

    def set_invalid_value(dataset: Dataset) -> None:
        dataset[Tag(keyword)] = raw_element(keyword, vr, b"some")

    results = make_results(phantoms.read(phantoms.change(folder, set_invalid_value)))

    assert results.segmentation is not None
