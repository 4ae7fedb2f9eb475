"""Hints that request a further repair name it together with those that were given, because it would fail alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from clickseg.cli.inspection import inspect_series
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from tests.helpers import phantoms, runs
from tests.helpers.dicom_files import write_named


@pytest.fixture
def slices() -> list[Dataset]:
    return phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))


@pytest.mark.parametrize(
    ("given", "hint", "expected"),
    [
        ((), "use --repair resample to interpolate", "use --repair resample to interpolate"),
        (("incomplete",), "use --repair resample to interpolate", "use --repair incomplete,resample to interpolate"),
        (("volume=2", "resample"), "--repair gantry-tilt", "--repair resample,volume=2,gantry-tilt"),
        (("resample",), "--repair volume=N uses", "--repair resample,volume=N uses"),
        (("resample", "volume=9"), "--repair volume=N uses", "--repair resample,volume=N uses"),
        (("drop-localizers", "frame-of-reference"), "send again", "send again"),
    ],
)
def test_a_hint_keeps_the_given_repairs(given: tuple[str, ...], hint: str, expected: str) -> None:
    assert Repairs.parse(given).add_to_hint(hint) == expected


def test_the_hints_of_one_series_lead_to_the_repairs_that_work_together(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset in slices:
        del dataset.FrameOfReferenceUID
    write_named(tmp_path, slices, "{0:04d}.dcm")[3].write_bytes(b"")
    steps: list[str] = []

    names: tuple[str, ...] = ()
    while (row := inspect_series(scan(tmp_path), Repairs.parse(names))[0]).problem:
        (option,) = [part for part in str(row.hint).split() if "incomplete" in part or "frame-of" in part]
        steps.append(option)
        names = tuple(option.split(","))

    assert steps == ["incomplete", "incomplete,resample", "incomplete,resample,frame-of-reference"]


def test_the_command_shows_the_combined_repairs(tmp_path: Path, slices: list[Dataset]) -> None:
    write_named(tmp_path / "in", slices, "{0:04d}.dcm")[3].write_bytes(b"")

    result = runs.run_clickseg("inspect", tmp_path / "in", "--repair", "incomplete")

    assert "use --repair incomplete,resample to interpolate" in result.stdout
    repaired = runs.run_clickseg("inspect", tmp_path / "in", "--repair", "incomplete,resample")
    assert "problem" not in repaired.stdout
