"""Every error of a series has a hint that names a remedy or a next step."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset

from clickseg.cli.inspection import inspect_series, text_report
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from tests.helpers import phantoms
from tests.helpers.runs import REPOSITORY

ERRORS = ("SeriesError", "SuvError", "PixelDataError")
MODULES = sorted((REPOSITORY / "clickseg").rglob("*.py"))

Edit = Callable[[list[Dataset]], None]


def set_columns(slices: list[Dataset]) -> None:
    slices[3].Rows, slices[3].Columns = slices[3].Columns, slices[3].Rows


def set_patient_name(slices: list[Dataset]) -> None:
    slices[2].PatientName = "Other^One"


def empty_decay_correction(slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.DecayCorrection = ""


def remove_dose(slices: list[Dataset]) -> None:
    for dataset in slices:
        del dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose


def set_pixel_spacing(slices: list[Dataset]) -> None:
    slices[1].PixelSpacing = [9, 9]


def move_sideways(slices: list[Dataset]) -> None:
    x, y, z = slices[3].ImagePositionPatient
    slices[3].ImagePositionPatient = [x + 20, y + 20, z]


def make_colour(slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.PhotometricInterpretation = "PALETTE COLOR"


CASES: list[tuple[Edit, str, str]] = [
    (set_columns, "Rows x Columns", "send them as a series of their own"),
    (set_patient_name, "expected one patient", "find out to which patient"),
    (empty_decay_correction, "DecayCorrection (0054,1102): expected START", "ask the sending modality"),
    (remove_dose, "RadionuclideTotalDose (0018,1074) is missing", "export the series with this attribute"),
    (set_pixel_spacing, "2 pixel spacings", "send the images of each pixel spacing"),
    (move_sideways, "are not on one line", "send the series again"),
    (make_colour, "PhotometricInterpretation", "use the original images"),
]


@pytest.mark.parametrize(("edit", "problem", "hint"), CASES, ids=lambda case: getattr(case, "__name__", None))
def test_inspection_shows_a_hint_for_each_problem(tmp_path: Path, edit: Edit, problem: str, hint: str) -> None:
    slices = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")
    edit(slices)
    scan_result = scan(phantoms.save(tmp_path, slices))

    lines = text_report(scan_result, inspect_series(scan_result, Repairs()))

    (number,) = (number for number, line in enumerate(lines) if line.startswith("    problem: "))
    assert problem in lines[number]
    assert lines[number + 1].startswith("    hint: ")
    assert hint in lines[number + 1]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_error_of_a_series_is_raised_with_a_hint(module: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    errors = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ERRORS]

    assert [call.lineno for call in errors if "hint" not in {keyword.arg for keyword in call.keywords}] == []
