"""The SR contains the volume of each segment, with a reference to the segment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from highdicom import sr
from pydicom import dcmread
from pydicom.sr.codedict import codes

from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import SeriesVolume
from clickseg.results.identity import encode_dicom
from tests.helpers import phantoms
from tests.helpers.dicom_results import MadeResult, dciodvfy_errors, make_results, spec


@pytest.fixture
def series(tmp_path: Path) -> SeriesVolume:
    return phantoms.read(phantoms.write(tmp_path / "in", phantoms.distinct_volume(phantoms.oblique_geometry())))


def save_sr(made: MadeResult, folder: Path) -> Path:
    path = folder / "sr.dcm"
    path.write_bytes(encode_dicom(made.report))
    return path


def test_each_segment_has_a_group_with_its_volume(tmp_path: Path, series: SeriesVolume) -> None:
    made = make_results(series)

    report = sr.srread(save_sr(made, tmp_path))

    (group,) = report.content.get_volumetric_roi_measurement_groups()
    (volume,) = group.get_measurements(codes.SCT.Volume)
    expected_ml = (
        made.labels.mask(1).sum() * phantoms.ROW_SPACING * phantoms.COLUMN_SPACING * phantoms.SLICE_SPACING / 1000
    )
    assert float(volume.value) == pytest.approx(expected_ml)
    assert volume.unit.value == "ml"
    assert group.tracking_uid == made.segmentation.SegmentSequence[0].TrackingUID
    assert group.finding_type.meaning == "Liver"
    (segment,) = [item for item in group[0].ContentSequence if item.ValueType == "IMAGE"]
    reference = segment.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == made.segmentation.SOPInstanceUID
    assert reference.ReferencedSegmentNumber == 1


def test_every_source_and_the_segmentation_are_evidence(series: SeriesVolume) -> None:
    made = make_results(series)

    evidence = {
        item.ReferencedSOPInstanceUID
        for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in made.report.get(name, ())
        for series_item in study.ReferencedSeriesSequence
        for item in series_item.ReferencedSOPSequence
    }

    sources = {plane.instance.text("SOPInstanceUID") for plane in series.stack.planes}
    assert evidence == sources | {made.segmentation.SOPInstanceUID}


def test_an_empty_result_has_a_report_of_0_ml(tmp_path: Path, dciodvfy: str, series: SeriesVolume) -> None:
    empty = LabelMap(np.zeros(series.volume.spatial_shape, np.uint8), False, 1)

    path = save_sr(make_results(series, empty), tmp_path)

    report = sr.srread(path)
    (group,) = report.content.get_image_measurement_groups()
    (volume,) = group.get_measurements(codes.SCT.Volume)
    assert float(volume.value) == 0
    assert group.finding_type.meaning == "Liver"
    assert dciodvfy_errors(path, dciodvfy) == []


def test_the_report_of_an_empty_result_of_several_classes_is_for_all_classes(
    tmp_path: Path, dciodvfy: str, series: SeriesVolume
) -> None:
    model = spec(phantoms.organ("a", 1), phantoms.organ("b", 2))
    empty = LabelMap(np.zeros(series.volume.spatial_shape, np.uint8), False, 2)

    path = save_sr(make_results(series, empty, model), tmp_path)

    (group,) = sr.srread(path).content.get_image_measurement_groups()
    assert group.tracking_identifier == "all classes"
    assert dciodvfy_errors(path, dciodvfy) == []


def test_dciodvfy_finds_no_error(tmp_path: Path, dciodvfy: str, series: SeriesVolume) -> None:
    assert dciodvfy_errors(save_sr(make_results(series), tmp_path), dciodvfy) == []


def test_dcmqi_reads_the_volume(tmp_path: Path, series: SeriesVolume) -> None:
    made = make_results(series)
    path = save_sr(made, tmp_path)

    command = [str(Path(sys.executable).with_name("tid1500reader")), "--inputDICOM", str(path)]
    subprocess.run([*command, "--outputMetadata", str(tmp_path / "sr.json")], check=True, capture_output=True)

    (group,) = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    (item,) = group["measurementItems"]
    assert group["segmentationSOPInstanceUID"] == made.segmentation.SOPInstanceUID
    assert (group["ReferencedSegment"], item["units"]["CodeValue"]) == (1, "ml")
    volume_ml = made.labels.mask(1).sum() * series.volume.voxel_volume / 1000
    assert float(item["value"]) == pytest.approx(volume_ml, rel=1e-5)


def test_the_report_is_in_the_study_of_the_segmentation_and_in_its_own_series(
    tmp_path: Path, series: SeriesVolume
) -> None:
    made = make_results(series)

    report = dcmread(save_sr(made, tmp_path))

    assert report.StudyInstanceUID == made.segmentation.StudyInstanceUID
    assert report.SeriesInstanceUID != made.segmentation.SeriesInstanceUID
    assert (report.Modality, report.CompletionFlag, report.VerificationFlag) == ("SR", "COMPLETE", "UNVERIFIED")
