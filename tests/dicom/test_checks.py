"""An attribute that holds something else than it must is one error that names it, and never a crash."""

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


def instance(**changes: object) -> Instance:
    (header, *_) = phantoms.instances(phantoms.distinct(phantoms.oblique_geometry()), "PT")
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    return Instance(Path("a.dcm"), "a.dcm", header, 1000)


def raw(keyword: str, vr: str, value: bytes) -> RawDataElement:
    """An element as it is read from a file, to be converted when it is asked for."""
    return RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)


def test_what_scanners_write_is_fit() -> None:
    written = instance()

    check_attributes([written])

    assert written.header == instance().header


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (DataElement("Rows", "US", [11, 12]), r"a\.dcm: Rows \(0028,0010\): expected a whole number, got \[11, 12\]"),
        (DataElement("Columns", "DS", "13.5"), r"Columns \(0028,0011\): expected a whole number"),
        (DataElement("PixelPaddingValue", "OW", b"\0\0"), r"PixelPaddingValue \(0028,0120\): expected a whole number"),
        (DataElement("BitsStored", "LO", "twelve"), r"BitsStored \(0028,0101\): expected a whole number"),
        (DataElement("ModalityLUTSequence", "LO", "none"), r"ModalityLUTSequence \(0028,3000\): expected a sequence"),
        (raw("Rows", "US", b"\1"), r"Rows \(0028,0010\): cannot be read"),
        (raw("NumberOfFrames", "IS", b"many"), r"NumberOfFrames \(0028,0008\): expected a whole number, got 'many'"),
        (raw("AttenuationCorrected", "RS", b"YES "), r"AttenuationCorrected \(0018,9759\): cannot be read"),
        (raw("SUVType", "XX", b"BW"), r"SUVType \(0054,1006\): cannot be read"),
        (raw("RadiopharmaceuticalInformationSequence", "SQ", b"\0" * 4), r"\(0054,0016\): cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_holds_something_else_is_named(element: DataElement | RawDataElement, message: str) -> None:
    changed = instance()
    changed.header[element.tag] = element

    with pytest.raises(SeriesError, match=message):
        check_attributes([changed])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_item_that_cannot_be_read_is_named() -> None:
    changed = instance()
    tracer = Dataset()
    tracer[Tag("RadionuclideCodeSequence")] = raw("RadionuclideCodeSequence", "SQ", b"\0" * 4)
    changed.header.RadiopharmaceuticalInformationSequence = [tracer]

    with pytest.raises(SeriesError, match=r"RadiopharmaceuticalInformationSequence .*: an item cannot be read"):
        check_attributes([changed])


@pytest.mark.parametrize("keyword", ["SeriesNumber", "SliceThickness", "PatientAge"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_only_copied_or_shown_stops_nothing(tmp_path: Path, keyword: str) -> None:
    folder = phantoms.write(tmp_path, phantoms.hook(phantoms.oblique_geometry()))
    vr = {"SeriesNumber": "IS", "SliceThickness": "DS", "PatientAge": "AS"}[keyword]

    def spoil(dataset: Dataset) -> None:
        dataset[Tag(keyword)] = raw(keyword, vr, b"some")

    made = make_results(phantoms.read(phantoms.change(folder, spoil)))

    assert made.segmentation is not None
