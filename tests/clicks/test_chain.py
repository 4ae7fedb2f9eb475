"""Clicks are stored in the DICOM results, so that a run can be repeated and refined from them."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from tests.helpers import phantoms, runs
from tests.helpers.dicom_results import dciodvfy_errors
from tests.helpers.reports import make_ohif_sr, make_seed_point_group, make_sr, save_sr

FIRST = runs.click(9, 11, 13)
SECOND = runs.click(4, 4, 4, polarity=Polarity.BACKGROUND)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


def run_segment(study: Path, output: Path, models: Path, *options: object, epoch: int = 1700000000) -> dict[str, bytes]:
    """Runs ``clickseg segment``; returns its DICOM files by name."""
    process = runs.run_clickseg("segment", study, "-o", output, "-m", models, *options, SOURCE_DATE_EPOCH=str(epoch))
    assert process.returncode == 0, process.stderr
    return {path.name: path.read_bytes() for path in output.glob("*.dcm")}


def write_clicks(path: Path, *clicks: Click) -> Path:
    write_clicks_json(Clicks(clicks, str(phantoms.header("CT").FrameOfReferenceUID)), path)
    return path


def results(output: Path) -> tuple[Dataset, Dataset]:
    """Returns the SEG and SR of the only series of a run."""
    (entry,) = json.loads((output / "report.json").read_text())["series"]
    return dcmread(output / entry["files"]["seg"]), dcmread(output / entry["files"]["sr"])


def copy_results(study: Path, output: Path, name: str) -> None:
    """Copies the DICOM results of a run into the study."""
    (study / name).mkdir()
    for path in output.glob("*.dcm"):
        shutil.copy(path, study / name)


def predecessor_uids(report: Dataset) -> set[str]:
    """Returns the SOP Instance UIDs of the predecessor documents of an SR."""
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence") or ()
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def test_a_run_on_its_own_results_gives_the_same_bytes(tmp_path: Path, models: Path, dciodvfy: str) -> None:
    study = runs.write_input(tmp_path / "in")
    clicks = write_clicks(tmp_path / "c.json", FIRST, SECOND)
    first = run_segment(study, tmp_path / "first", models, "--clicks", clicks)
    copy_results(study, tmp_path / "first", "earlier")

    again = run_segment(study, tmp_path / "again", models)

    assert again == first
    entry = json.loads((tmp_path / "again" / "report.json").read_text())["series"][0]
    assert entry["clicks"]["source"].startswith("earlier/")
    assert (entry["clicks"]["foreground"], entry["clicks"]["background"]) == (1, 1)
    assert all(dciodvfy_errors(path, dciodvfy) == [] for path in (tmp_path / "again").glob("*.dcm"))


def test_a_chain_of_refinements_names_its_predecessors_and_can_be_repeated(
    tmp_path: Path, models: Path, dciodvfy: str
) -> None:
    study = runs.write_input(tmp_path / "in")
    run_segment(study, tmp_path / "0", models, epoch=1700000000)
    copy_results(study, tmp_path / "0", "r0")
    run_segment(study, tmp_path / "1", models, "--clicks", write_clicks(tmp_path / "1.json", FIRST), epoch=1700000100)
    copy_results(study, tmp_path / "1", "r1")
    more = write_clicks(tmp_path / "2.json", FIRST, SECOND)
    last = run_segment(study, tmp_path / "2", models, "--clicks", more, epoch=1700000200)

    chain = [results(tmp_path / str(number)) for number in range(3)]
    for (seg, report), (later_seg, later_report) in pairwise(chain):
        assert predecessor_uids(later_report) == {seg.SOPInstanceUID, report.SOPInstanceUID}
        referenced = [
            instance.ReferencedSOPInstanceUID
            for series in later_seg.ReferencedSeriesSequence
            for instance in series.ReferencedInstanceSequence
        ]
        assert seg.SOPInstanceUID in referenced
    assert predecessor_uids(chain[0][1]) == set()
    assert all(dciodvfy_errors(path, dciodvfy) == [] for path in (tmp_path / "2").glob("*.dcm"))

    (tmp_path / "new").mkdir()
    shutil.copytree(study / "CT", tmp_path / "new" / "CT")
    copy_results(tmp_path / "new", tmp_path / "2", "r2")
    assert run_segment(tmp_path / "new", tmp_path / "again", models, epoch=1700000200) == last


def test_the_newest_report_is_used_and_older_ones_are_listed_as_ignored(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    for number, clicks in enumerate(([FIRST], [FIRST, SECOND])):
        out = tmp_path / str(number)
        click_file = write_clicks(tmp_path / f"{number}.json", *clicks)
        run_segment(study, out, models, "--clicks", click_file, epoch=1700000000 + number)
    for number in (1, 0):
        copy_results(study, tmp_path / str(number), f"r{number}")

    run_segment(study, tmp_path / "out", models)

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["series"][0]["clicks"]["source"].startswith("r1/")
    assert [name.partition("/")[0] for name in report["ignored_click_files"]] == ["r0"]


def test_reports_of_another_frame_of_reference_are_ignored(tmp_path: Path, models: Path) -> None:
    other = runs.write_input(tmp_path / "other", name="other")
    frame = str(phantoms.header("CT", "other").FrameOfReferenceUID)
    write_clicks_json(Clicks((FIRST,), frame), tmp_path / "c.json")
    run_segment(other, tmp_path / "first", models, "--clicks", tmp_path / "c.json")
    study = runs.write_input(tmp_path / "in")
    copy_results(study, tmp_path / "first", "earlier")

    run_segment(study, tmp_path / "out", models)

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["series"][0]["clicks"]["source"] is None
    assert len(report["ignored_click_files"]) == 1


def write_foreign_report(frames: dict[str, list[float]], path: Path, **changes: object) -> Path:
    """Writes an SR of another tool, with a seed point in each frame of reference."""
    report = make_sr(*(make_seed_point_group(frame, point) for frame, point in frames.items()))
    for keyword, value in changes.items():
        setattr(report, keyword, value)
    path.parent.mkdir(exist_ok=True)
    return save_sr(report, path)


def test_a_report_with_several_frames_of_reference_gives_each_series_its_points(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    frame = str(phantoms.header("CT").FrameOfReferenceUID)
    write_foreign_report(
        {"1.2.3": [0, 0, 0], frame: list(FIRST.position_mm), "1.2.4": [0, 0, 0]}, study / "sr" / "1.dcm"
    )

    run_segment(study, tmp_path / "out", models)

    entry = json.loads((tmp_path / "out" / "report.json").read_text())["series"][0]
    assert (entry["clicks"]["source"], entry["clicks"]["background"]) == ("sr/1.dcm", 1)


def test_points_in_images_are_used_for_the_series_of_their_image(tmp_path: Path) -> None:
    study = tmp_path / "in"
    for name in ("a", "b"):
        runs.write_input(study / name, name=name)
    groups = [
        make_ohif_sr(phantoms.read_geometry(study / name / "CT"), np.zeros(3), in_image=True).ContentSequence[0]
        for name in ("a", "b", "b")
    ]
    (study / "sr").mkdir()
    save_sr(make_sr(*groups), study / "sr" / "1.dcm")
    models = runs.write_model(tmp_path / "aliased", classes=[phantoms.organ("hook", 1, aliases=["lesion"])])

    run_segment(study, tmp_path / "out", models)

    entries = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert sorted(entry["clicks"]["background"] for entry in entries) == [1, 2]

    only_a = runs.run_clickseg(
        "segment", study / "a", "-o", tmp_path / "one", "-m", models, "--clicks", study / "sr" / "1.dcm"
    )
    assert (only_a.returncode, "2 clicks on images that are not in the segmented series" in only_a.stderr) == (1, True)


def test_a_damaged_report_of_clickseg_is_not_named_as_predecessor(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    without_reference, incomplete = Dataset(), Dataset()
    incomplete.StudyInstanceUID, incomplete.ReferencedSeriesSequence = "1.2", [Dataset()]
    frame = str(phantoms.header("CT").FrameOfReferenceUID)
    write_foreign_report(
        {frame: list(FIRST.position_mm)},
        study / "sr" / "1.dcm",
        ManufacturerModelName="ClickSeg",
        PredecessorDocumentsSequence=[without_reference, incomplete],
        CurrentRequestedProcedureEvidenceSequence=[evidence_of_series(study / "CT")],
    )
    more = write_clicks(tmp_path / "c.json", FIRST, SECOND)

    for number, options in enumerate(([], ["--clicks", more])):
        run_segment(study, tmp_path / str(number), models, *options)
        assert predecessor_uids(results(tmp_path / str(number))[1]) == set()


def evidence_of_series(folder: Path) -> Dataset:
    """Returns the evidence for a series, as in an SR."""
    header = dcmread(next(folder.iterdir()))
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = header.SeriesInstanceUID, [instance]
    study.ReferencedSeriesSequence = [series]
    return study


def test_a_click_file_has_priority_over_reports(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    run_segment(study, tmp_path / "first", models, "--clicks", write_clicks(tmp_path / "c.json", FIRST))
    copy_results(study, tmp_path / "first", "earlier")
    write_clicks(study / "clicks.json", SECOND)

    run_segment(study, tmp_path / "out", models)

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["series"][0]["clicks"]["source"] == "clicks.json"


def test_clicks_of_a_class_have_the_tracking_uid_of_its_segment(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    run_segment(study, tmp_path / "out", models, "--clicks", write_clicks(tmp_path / "c.json", FIRST, SECOND))

    seg, report = results(tmp_path / "out")

    uids = []
    for group in _measurement_groups(report):
        uid = next(item.UID for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "112040")
        uids.append(str(uid))
    assert uids == [str(seg.SegmentSequence[0].TrackingUID)] * 3


def _measurement_groups(report: Dataset) -> list[Dataset]:
    measurements = next(i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    return list(measurements.ContentSequence)
