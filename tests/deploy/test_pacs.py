"""The round trip through a real PACS: a study comes from it, SEG and SR go back, and are found where they belong.

``make container-test`` runs these tests with the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from clickseg.clicks.click import Clicks
from clickseg.clicks.formats.clicks_json import write_clicks_json
from tests.helpers import phantoms, runs
from tests.helpers.orthanc import Orthanc, running
from tests.helpers.plug_ins import Application

WAYS: dict[str, Callable[[Orthanc, Sequence[Path]], object]] = {
    "C-STORE": lambda pacs, files: pacs.c_store(files),
    "STOW-RS": lambda pacs, files: pacs.stow(files),
}
SUCCESS = 0x0000


def round_trip(pacs: Orthanc, application: Application, folder: Path, way: str) -> list[Path]:
    """Fetches the one study of a PACS, segments it, and sends the results back; returns them."""
    (study,) = (Dataset.from_json(each) for each in pacs.web.search_for_studies())
    pacs.retrieve(study.StudyInstanceUID, folder / "in")
    if (folder / "clicks.json").exists():
        (folder / "clicks.json").rename(folder / "in" / "clicks.json")

    assert application(folder / "in", folder / "out") == 0

    results = sorted((folder / "out").glob("*.dcm"))
    assert len(results) == 2
    WAYS[way](pacs, results)
    return results


def sent(pacs: Orthanc, folder: Path) -> Dataset:
    """Sends a phantom to a PACS over DICOM; returns the header of an instance."""
    volume = phantoms.hook(runs.GEOMETRY, runs.INSIDE_HU, runs.OUTSIDE_HU)
    files = sorted(phantoms.write(folder, volume, "CT", "pacs").iterdir())
    assert set(pacs.c_store(files)) == {SUCCESS}
    return dcmread(files[0], stop_before_pixels=True)


@pytest.mark.parametrize("way", WAYS)
def test_results_are_found_in_the_study_that_they_are_of(tmp_path: Path, application: Application, way: str) -> None:
    with running(tmp_path) as pacs:
        source = sent(pacs, tmp_path / "scanner")

        results = [dcmread(path) for path in round_trip(pacs, application, tmp_path, way)]

        found = pacs.series(source.StudyInstanceUID)
        assert set(found) == {"CT", "SEG", "SR"}
        for result in results:
            series = found[result.Modality]
            assert series.SeriesInstanceUID == result.SeriesInstanceUID
            assert series.SeriesDescription == result.SeriesDescription != ""
            assert int(series.NumberOfSeriesRelatedInstances) == 1
        assert int(found["CT"].NumberOfSeriesRelatedInstances) == runs.GEOMETRY.spatial_shape[0]


@pytest.mark.parametrize("way", WAYS)
def test_the_pacs_knows_one_study_of_one_patient_with_all_modalities(
    tmp_path: Path, application: Application, way: str
) -> None:
    fields = ["ModalitiesInStudy", "NumberOfStudyRelatedSeries", "PatientName", "PatientBirthDate", "PatientSex"]
    with running(tmp_path) as pacs:
        source = sent(pacs, tmp_path / "scanner")
        round_trip(pacs, application, tmp_path, way)

        of_patient = pacs.web.search_for_studies(search_filters={"PatientID": source.PatientID}, fields=fields)

        (study,) = (Dataset.from_json(each) for each in of_patient)
        assert study.StudyInstanceUID == source.StudyInstanceUID
        assert set(study.ModalitiesInStudy) == {"CT", "SEG", "SR"}
        assert int(study.NumberOfStudyRelatedSeries) == 3
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyID"):
            assert study.get(keyword) == source.get(keyword), keyword


@pytest.mark.parametrize("way", WAYS)
def test_the_pacs_gives_back_what_was_written(tmp_path: Path, application: Application, way: str) -> None:
    with running(tmp_path) as pacs:
        sent(pacs, tmp_path / "scanner")
        for path in round_trip(pacs, application, tmp_path, way):
            written = dcmread(path)

            back = pacs.web.retrieve_instance(
                written.StudyInstanceUID, written.SeriesInstanceUID, written.SOPInstanceUID
            )

            assert back.SOPClassUID in (SegmentationStorage, Comprehensive3DSRStorage)
            assert back == written


def test_the_clicks_of_a_report_in_the_pacs_repeat_the_run(tmp_path: Path, application: Application) -> None:
    """What a review station stored comes with its study: the second run has no click file, and the same results."""
    frame = str(phantoms.header("CT", "pacs").FrameOfReferenceUID)
    with running(tmp_path) as pacs:
        study = sent(pacs, tmp_path / "scanner").StudyInstanceUID
        (tmp_path / "first").mkdir()
        write_clicks_json(Clicks((runs.click(9, 11, 13),), frame), tmp_path / "first" / "clicks.json")
        first = round_trip(pacs, application, tmp_path / "first", "C-STORE")

        pacs.retrieve(study, tmp_path / "second")
        code = application(tmp_path / "second", tmp_path / "again")

    assert code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").glob("*.dcm")} == {
        path.name: path.read_bytes() for path in first
    }
    segmentation = next(each for each in map(dcmread, first) if each.Modality == "SEG")
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
