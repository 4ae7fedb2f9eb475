"""Who the patient is stands in the DICOM objects that are written, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from tests.helpers import phantoms, runs
from tests.helpers.runs import REPOSITORY, clickseg, process

SECRETS = {"PatientName": "Geheimnis^Anna", "PatientID": "SECRET-ID-77", "PatientBirthDate": "19330303"}
WORDS = ("Geheimnis", "Anna", "SECRET-ID-77", "19330303", "1933-03-03")
FORMS = ("clickseg", "slicer", "fcsv", "grand-challenge", "deepgrow", "deepedit", "vista3d", "cvpr")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


def write_study(folder: Path) -> Path:
    """Writes a series of a patient with a name, and a click."""
    study = runs.write_input(folder, runs.click(9, 11, 13))
    for keyword, value in SECRETS.items():
        phantoms.change(study / "CT", lambda dataset, k=keyword, v=value: setattr(dataset, k, v))
    return study


def told(*arguments: object, code: int, **environ: str) -> str:
    """Runs the command, and returns what it said."""
    ended = clickseg(*arguments, **environ)
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


def kept(folder: Path) -> str:
    """What lies in an output folder beside DICOM."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix != ".dcm"]
    return "".join(path.name + path.read_bytes().decode("latin-1") for path in files)


def assert_silent(text: str) -> None:
    assert [word for word in WORDS if word in text] == []


def test_what_is_written_names_the_patient_in_dicom_alone(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"

    said = told("segment", study, "-o", out, "-m", models, "--statistics", "--debug", "--nifti", code=0)

    assert_silent(said + kept(out))
    assert {str(dcmread(path).PatientName) for path in out.glob("*.dcm")} == {SECRETS["PatientName"]}


@pytest.mark.slow
def test_the_application_names_the_patient_in_dicom_alone(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"

    ended = process(["python", REPOSITORY / "app", "-i", study, "-o", out, "-m", models, "-l", "DEBUG"])

    assert ended.returncode == 0
    assert_silent(ended.stdout + ended.stderr + kept(out))


@pytest.mark.slow
def test_errors_do_not_name_the_patient(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"
    slices = sorted((study / "CT").iterdir())
    slices[2].unlink()
    slices[4].write_bytes(slices[4].read_bytes()[:-100])
    arguments = ("-o", out, "-m", models, "--debug")

    said = told("segment", study, *arguments, code=1, CLICKSEG_METADATA="1")
    ran = process(["python", REPOSITORY / "app", "-i", study, "-o", out, "-m", models, "-l", "DEBUG"])

    assert ran.returncode == 1
    assert_silent(said + ran.stdout + ran.stderr + kept(out))


def test_inspect_does_not_name_the_patient(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in")

    assert_silent(told("inspect", study, code=0) + told("inspect", study, "--json", code=0))


def test_clicks_of_a_report_are_shown_and_converted_without_the_patient(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in"), tmp_path / "out"
    told("segment", study, "-o", out, "-m", models, code=0)
    (report,) = (path for path in out.glob("*.dcm") if dcmread(path).Modality == "SR")

    shown = told("clicks", report, "--series", study / "CT", code=0)
    converted = [clickseg("clicks", report, "--series", study / "CT", "--to", form) for form in FORMS[:-1]]
    told("clicks", report, "--series", study / "CT", "--to", "cvpr", "-o", tmp_path / "c.npz", code=0)

    assert [ended.returncode for ended in converted] == [0] * len(converted)
    assert_silent(shown + "".join(ended.stdout + ended.stderr for ended in converted))
    assert_silent((tmp_path / "c.npz").read_bytes().decode("latin-1"))
