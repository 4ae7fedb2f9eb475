"""One patient whose name or ID is written in two ways, and two patients (PS3.5, 6.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickseg.core.errors import SeriesError
from tests.helpers import phantoms

SAME_NAMES = [
    ("Case^Phantom", "Case^Phantom^^^"),
    ("Case^Phantom", "Case^Phantom "),
    ("Case^Phantom", "Case ^Phantom^ ^"),
    ("Case^Phantom", "Case^Phantom=="),
    ("Case", "Case^"),
    ("Case^Phantom", "CASE^PHANTOM"),
    ("Case^^Middle", "Case^^Middle^^"),
    ("Yamada^Tarou=山田^太郎", "Yamada^Tarou^^=山田^太郎^="),
    ("", "^^^^"),
    ("Mu\u0308ller^Jo\u0308rg", "M\u00fcller^J\u00f6rg"),
]

OTHER_NAMES = [
    ("Case^Phantom", "Case^Other"),
    ("Case^Phantom", "Case^^Phantom"),
    ("Case^Phantom", "Phantom^Case"),
    ("Case^Phantom", "CasePhantom"),
    ("Case^Phantom", "Case=Phantom"),
    ("Case^Phantom", ""),
    ("Case Phantom^A", "CasePhantom^A"),
]


@pytest.mark.parametrize(("first", "second"), SAME_NAMES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_spellings_of_one_name_are_one_patient(tmp_path: Path, first: str, second: str) -> None:
    _write(tmp_path, "PatientName", first, second)

    assert phantoms.read_geometry(tmp_path).stack.geometry.spatial_shape == phantoms.SHAPE


@pytest.mark.parametrize(("first", "second"), OTHER_NAMES)
def test_two_names_are_two_patients_and_are_not_in_the_message(tmp_path: Path, first: str, second: str) -> None:
    _write(tmp_path, "PatientName", first, second)

    with pytest.raises(SeriesError, match=r"PatientName .*: expected one patient in a series, got 2") as caught:
        phantoms.read_geometry(tmp_path)
    assert "Case" not in str(caught.value)


@pytest.mark.parametrize("second", ["0815 ", " 0815", "  0815  "])
def test_padding_of_an_id_is_not_significant(tmp_path: Path, second: str) -> None:
    _write(tmp_path, "PatientID", "0815", second)

    assert phantoms.read_geometry(tmp_path).stack.geometry.spatial_shape == phantoms.SHAPE


@pytest.mark.parametrize("second", ["815", "0816", "08 15", "A0815", "0815^"])
def test_two_ids_are_two_patients(tmp_path: Path, second: str) -> None:
    _write(tmp_path, "PatientID", "0815", second)

    with pytest.raises(SeriesError, match=r"PatientID .*: expected one patient in a series, got 2"):
        phantoms.read_geometry(tmp_path)


def _write(folder: Path, keyword: str, first: str, second: str) -> None:
    """Writes a series in which the images have one of two values by turns."""
    slices = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    for number, dataset in enumerate(slices):
        dataset.SpecificCharacterSet = "ISO_IR 192"
        setattr(dataset, keyword, second if number % 2 else first)
    phantoms.save(folder, slices)
