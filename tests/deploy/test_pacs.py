"""A round trip with a real PACS: a study is fetched, SEG and SR are sent back and found in the study.

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
from tests.helpers.orthanc import Orthanc, run_orthanc
from tests.helpers.plug_ins import Application

SEND_METHODS: dict[str, Callable[[Orthanc, Sequence[Path]], object]] = {
    "C-STORE": lambda pacs, files: pacs.c_store(files),
    "STOW-RS": lambda pacs, files: pacs.stow(files),
}
SUCCESS = 0x0000


def round_trip(pacs: Orthanc, application: Application, folder: Path, method: str) -> list[Path]:
    """Fetches the only study of a PACS, segments it, sends the results back, and returns them."""
    (study,) = (Dataset.from_json(response) for response in pacs.dicomweb.search_for_studies())
    pacs.retrieve(study.StudyInstanceUID, folder / "in")
    if (folder / "clicks.json").exists():
        (folder / "clicks.json").rename(folder / "in" / "clicks.json")

    assert application(folder / "in", folder / "out") == 0

    results = sorted((folder / "out").glob("*.dcm"))
    assert len(results) == 2
    SEND_METHODS[method](pacs, results)
    return results


def send_phantom(pacs: Orthanc, folder: Path) -> Dataset:
    """Sends a phantom to a PACS over DICOM; returns the header of an instance."""
    volume = phantoms.hook_volume(runs.GEOMETRY, runs.INSIDE_HU, runs.OUTSIDE_HU)
    files = sorted(phantoms.write(folder, volume, "CT", "pacs").iterdir())
    assert set(pacs.c_store(files)) == {SUCCESS}
    return dcmread(files[0], stop_before_pixels=True)


@pytest.mark.parametrize("method", SEND_METHODS)
def test_results_are_found_in_the_study_of_their_images(tmp_path: Path, application: Application, method: str) -> None:
    with run_orthanc(tmp_path) as pacs:
        source = send_phantom(pacs, tmp_path / "scanner")

        results = [dcmread(path) for path in round_trip(pacs, application, tmp_path, method)]

        series_by_modality = pacs.find_series(source.StudyInstanceUID)
        assert set(series_by_modality) == {"CT", "SEG", "SR"}
        for result in results:
            series = series_by_modality[result.Modality]
            assert series.SeriesInstanceUID == result.SeriesInstanceUID
            assert series.SeriesDescription == result.SeriesDescription != ""
            assert int(series.NumberOfSeriesRelatedInstances) == 1
        assert int(series_by_modality["CT"].NumberOfSeriesRelatedInstances) == runs.GEOMETRY.spatial_shape[0]


@pytest.mark.parametrize("method", SEND_METHODS)
def test_the_pacs_has_one_study_of_the_patient_with_all_modalities(
    tmp_path: Path, application: Application, method: str
) -> None:
    fields = ["ModalitiesInStudy", "NumberOfStudyRelatedSeries", "PatientName", "PatientBirthDate", "PatientSex"]
    with run_orthanc(tmp_path) as pacs:
        source = send_phantom(pacs, tmp_path / "scanner")
        round_trip(pacs, application, tmp_path, method)

        responses = pacs.dicomweb.search_for_studies(search_filters={"PatientID": source.PatientID}, fields=fields)

        (study,) = (Dataset.from_json(response) for response in responses)
        assert study.StudyInstanceUID == source.StudyInstanceUID
        assert set(study.ModalitiesInStudy) == {"CT", "SEG", "SR"}
        assert int(study.NumberOfStudyRelatedSeries) == 3
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyID"):
            assert study.get(keyword) == source.get(keyword), keyword


@pytest.mark.parametrize("method", SEND_METHODS)
def test_the_pacs_returns_the_written_instances(tmp_path: Path, application: Application, method: str) -> None:
    with run_orthanc(tmp_path) as pacs:
        send_phantom(pacs, tmp_path / "scanner")
        for path in round_trip(pacs, application, tmp_path, method):
            written = dcmread(path)

            retrieved = pacs.dicomweb.retrieve_instance(
                written.StudyInstanceUID, written.SeriesInstanceUID, written.SOPInstanceUID
            )

            assert retrieved.SOPClassUID in (SegmentationStorage, Comprehensive3DSRStorage)
            assert retrieved == written


def test_the_clicks_of_a_report_in_the_pacs_reproduce_the_run(tmp_path: Path, application: Application) -> None:
    """The report is fetched with its study: the second run needs no click file, and has the same results."""
    frame = str(phantoms.header("CT", "pacs").FrameOfReferenceUID)
    with run_orthanc(tmp_path) as pacs:
        study = send_phantom(pacs, tmp_path / "scanner").StudyInstanceUID
        (tmp_path / "first").mkdir()
        write_clicks_json(Clicks((runs.click(9, 11, 13),), frame), tmp_path / "first" / "clicks.json")
        first = round_trip(pacs, application, tmp_path / "first", "C-STORE")

        pacs.retrieve(study, tmp_path / "second")
        code = application(tmp_path / "second", tmp_path / "again")

    assert code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").glob("*.dcm")} == {
        path.name: path.read_bytes() for path in first
    }
    segmentation = next(result for result in map(dcmread, first) if result.Modality == "SEG")
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
