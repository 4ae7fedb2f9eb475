"""The identity of the patient is only in the DICOM objects that are written, not in any other output."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from tests.helpers import phantoms, runs
from tests.helpers.runs import REPOSITORY, run_clickseg, run_process

PATIENT = {"PatientName": "Geheimnis^Anna", "PatientID": "SECRET-ID-77", "PatientBirthDate": "19330303"}
FORBIDDEN_WORDS = ("Geheimnis", "Anna", "SECRET-ID-77", "19330303", "1933-03-03")
FORMS = ("clickseg", "slicer", "fcsv", "grand-challenge", "deepgrow", "deepedit", "vista3d", "cvpr")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


def write_study(folder: Path) -> Path:
    """Writes a series of an identifiable patient, and a click."""
    study = runs.write_input(folder, runs.click(9, 11, 13))
    for keyword, value in PATIENT.items():
        phantoms.change(study / "CT", lambda dataset, k=keyword, v=value: setattr(dataset, k, v))
    return study


def run_command(*arguments: object, code: int, **environ: str) -> str:
    """Runs the command, checks its exit code, and returns its output."""
    process = run_clickseg(*arguments, **environ)
    assert process.returncode == code, process.stderr
    return process.stdout + process.stderr


def read_other_files(folder: Path) -> str:
    """Returns the names and contents of the files in an output folder that are not DICOM."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix != ".dcm"]
    return "".join(path.name + path.read_bytes().decode("latin-1") for path in files)


def assert_anonymous(text: str) -> None:
    assert [word for word in FORBIDDEN_WORDS if word in text] == []


def test_the_command_writes_the_patient_only_to_dicom(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"

    output = run_command("segment", study, "-o", out, "-m", models, "--statistics", "--debug", "--nifti", code=0)

    assert_anonymous(output + read_other_files(out))
    assert {str(dcmread(path).PatientName) for path in out.glob("*.dcm")} == {PATIENT["PatientName"]}


@pytest.mark.slow
def test_the_application_writes_the_patient_only_to_dicom(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"

    application = run_process(["python", REPOSITORY / "app", "-i", study, "-o", out, "-m", models, "-l", "DEBUG"])

    assert application.returncode == 0
    assert_anonymous(application.stdout + application.stderr + read_other_files(out))


@pytest.mark.slow
def test_errors_do_not_contain_the_patient(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"
    slices = sorted((study / "CT").iterdir())
    slices[2].unlink()
    slices[4].write_bytes(slices[4].read_bytes()[:-100])
    arguments = ("-o", out, "-m", models, "--debug")

    output = run_command("segment", study, *arguments, code=1, CLICKSEG_METADATA="1")
    application = run_process(["python", REPOSITORY / "app", "-i", study, "-o", out, "-m", models, "-l", "DEBUG"])

    assert application.returncode == 1
    assert_anonymous(output + application.stdout + application.stderr + read_other_files(out))


def test_inspect_does_not_show_the_patient(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in")

    assert_anonymous(run_command("inspect", study, code=0) + run_command("inspect", study, "--json", code=0))


def test_the_clicks_command_does_not_show_the_patient(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"
    run_command("segment", study, "-o", out, "-m", models, code=0)
    (report,) = (path for path in out.glob("*.dcm") if dcmread(path).Modality == "SR")

    shown = run_command("clicks", report, "--dicom", study / "CT", code=0)
    conversions = [run_clickseg("clicks", report, "--dicom", study / "CT", "--to", form) for form in FORMS[:-1]]
    run_command("clicks", report, "--dicom", study / "CT", "--to", "cvpr", "-o", tmp_path / "c.npz", code=0)

    assert [conversion.returncode for conversion in conversions] == [0] * len(conversions)
    assert_anonymous(shown + "".join(conversion.stdout + conversion.stderr for conversion in conversions))
    assert_anonymous((tmp_path / "c.npz").read_bytes().decode("latin-1"))
