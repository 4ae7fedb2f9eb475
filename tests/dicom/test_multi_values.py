"""Attributes whose values an export separated by commas or semicolons instead of backslashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from clickseg.core.errors import SeriesError, SuvError
from clickseg.dicom.multi_values import has_other_delimiter, split_values
from tests.helpers import phantoms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom: the values are invalid


def write_text(folder: Path, keyword: str, text: str, *, selection: slice = slice(None)) -> Path:
    """Replaces the values of an attribute by one text, which pydicom would otherwise separate or reject."""

    def set_text(dataset: Dataset) -> None:
        dataset[keyword]._value = text

    return phantoms.change(folder, set_text, selection=selection)


@pytest.fixture
def pet(tmp_path: Path) -> Path:
    return phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")


@pytest.mark.parametrize(
    ("value", "values"),
    [
        (None, ()),
        ("", ()),
        (["", ""], ()),
        ("DECY", ("DECY",)),
        (["DECY", " ATTN"], ("DECY", "ATTN")),
        ("DECY, ATTN;SCAT", ("DECY", "ATTN", "SCAT")),
        (["DERIVED", "", "AXIAL"], ("DERIVED", "", "AXIAL")),
        ("NOT ATTN", ("NOT ATTN",)),
    ],
)
def test_values_are_separated_at_each_delimiter_that_no_value_can_contain(value: object, values: object) -> None:
    assert split_values(value) == values
    assert has_other_delimiter(value) == (value == "DECY, ATTN;SCAT")


@pytest.mark.parametrize("text", ["DECY,ATTN,SCAT", "DECY, ATTN, SCAT", "ATTN;DECY", "decy,attn"])
def test_the_suv_of_a_series_with_commas_in_corrected_image_is_right_with_a_warning(
    pet: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    expected = phantoms.read(pet).volume.array
    assert caplog.text == ""

    found = phantoms.read(write_text(pet, "CorrectedImage", text)).volume.array

    np.testing.assert_array_equal(found, expected)
    assert "CorrectedImage (0028,0051) is one value with commas or semicolons: it is read as the values" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DECY,SCAT", r"not corrected for attenuation: expected ATTN, got DECY\\SCAT$"),
        ("DECY NOT ATTN", r"not corrected for attenuation: expected ATTN, got DECY NOT ATTN$"),
        ("ATTN,SCAT", r"DecayCorrection .* is START, but CorrectedImage .* is ATTN\\SCAT: one of them is wrong"),
    ],
)
def test_a_missing_correction_is_named_also_in_a_text_with_commas(pet: Path, text: str, message: str) -> None:
    write_text(pet, "CorrectedImage", text)

    with pytest.raises(SuvError) as caught:
        phantoms.read(pet)
    assert caught.match(message.replace("$", r"(\n|$)"))


def test_a_projection_whose_image_type_has_commas_is_no_slice(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()))
    write_text(folder, "ImageType", "ORIGINAL,PRIMARY,AXIAL")
    last = max(folder.iterdir(), key=lambda path: int(phantoms.dcmread(path).InstanceNumber))
    number = sorted(folder.iterdir()).index(last)
    write_text(folder, "ImageType", "DERIVED,SECONDARY,PROJECTION IMAGE", selection=slice(number, number + 1))

    with pytest.raises(SeriesError, match=rf"1 image with another ImageType \(0008,0008\): {last.name}"):
        phantoms.read_geometry(folder)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("PixelSpacing", "1.5,1.25"),
        ("ImagePositionPatient", "1.0;2.0;3.0"),
        ("ImageOrientationPatient", "1 0 0 0 1 0"),
    ],
)
def test_numbers_without_backslashes_are_an_error_with_the_delimiter(pet: Path, keyword: str, text: str) -> None:
    write_text(pet, keyword, text)

    with pytest.raises(SeriesError, match=rf"{keyword} \(.*\): expected . numbers, got {text}") as caught:
        phantoms.read_geometry(pet)
    assert "backslashes" in str(caught.value.hint)
