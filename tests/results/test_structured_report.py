"""The SR says how large each segment is, and which one it means."""

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
from clickseg.dicom.volume import Series
from clickseg.results.identity import encoded
from tests.helpers import phantoms
from tests.helpers.dicom_results import Made, make_results, spec, violations


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return phantoms.read(phantoms.write(tmp_path / "in", phantoms.distinct(phantoms.oblique_geometry())))


def written(made: Made, folder: Path) -> Path:
    path = folder / "sr.dcm"
    path.write_bytes(encoded(made.report))
    return path


def test_a_group_for_each_segment_holds_its_volume(tmp_path: Path, series: Series) -> None:
    made = make_results(series)

    report = sr.srread(written(made, tmp_path))

    (group,) = report.content.get_volumetric_roi_measurement_groups()
    (volume,) = group.get_measurements(codes.SCT.Volume)
    by_hand = made.labels.mask(1).sum() * phantoms.ROW_SPACING * phantoms.COLUMN_SPACING * phantoms.SLICE_SPACING / 1000
    assert float(volume.value) == pytest.approx(by_hand)
    assert volume.unit.value == "ml"
    assert group.tracking_uid == made.segmentation.SegmentSequence[0].TrackingUID
    assert group.finding_type.meaning == "Liver"
    (segment,) = [item for item in group[0].ContentSequence if item.ValueType == "IMAGE"]
    reference = segment.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == made.segmentation.SOPInstanceUID
    assert reference.ReferencedSegmentNumber == 1


def test_every_source_and_the_segmentation_are_evidence(series: Series) -> None:
    made = make_results(series)

    evidence = {
        item.ReferencedSOPInstanceUID
        for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in made.report.get(name, ())
        for each in study.ReferencedSeriesSequence
        for item in each.ReferencedSOPSequence
    }

    sources = {plane.instance.text("SOPInstanceUID") for plane in series.stack.planes}
    assert evidence == sources | {made.segmentation.SOPInstanceUID}


def test_an_empty_result_is_a_report_of_0_ml(tmp_path: Path, dciodvfy: str, series: Series) -> None:
    empty = LabelMap(np.zeros(series.volume.spatial_shape, np.uint8), False, 1)

    path = written(make_results(series, empty), tmp_path)

    report = sr.srread(path)
    (group,) = report.content.get_image_measurement_groups()
    (volume,) = group.get_measurements(codes.SCT.Volume)
    assert float(volume.value) == 0
    assert group.finding_type.meaning == "Liver"
    assert violations(path, dciodvfy) == []


def test_an_empty_result_of_several_classes_names_none(tmp_path: Path, dciodvfy: str, series: Series) -> None:
    model = spec(phantoms.organ("a", 1), phantoms.organ("b", 2))
    empty = LabelMap(np.zeros(series.volume.spatial_shape, np.uint8), False, 2)

    path = written(make_results(series, empty, model), tmp_path)

    (group,) = sr.srread(path).content.get_image_measurement_groups()
    assert group.tracking_identifier == "all classes"
    assert violations(path, dciodvfy) == []


def test_dciodvfy_finds_no_error(tmp_path: Path, dciodvfy: str, series: Series) -> None:
    assert violations(written(make_results(series), tmp_path), dciodvfy) == []


def test_dcmqi_reads_the_volume(tmp_path: Path, series: Series) -> None:
    made = make_results(series)
    path = written(made, tmp_path)

    command = [str(Path(sys.executable).with_name("tid1500reader")), "--inputDICOM", str(path)]
    subprocess.run([*command, "--outputMetadata", str(tmp_path / "sr.json")], check=True, capture_output=True)

    (group,) = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    (item,) = group["measurementItems"]
    assert group["segmentationSOPInstanceUID"] == made.segmentation.SOPInstanceUID
    assert (group["ReferencedSegment"], item["units"]["CodeValue"]) == (1, "ml")
    volume_ml = made.labels.mask(1).sum() * series.volume.voxel_volume / 1000
    assert float(item["value"]) == pytest.approx(volume_ml, rel=1e-5)


def test_the_report_is_a_document_of_the_same_study_in_a_series_of_its_own(tmp_path: Path, series: Series) -> None:
    made = make_results(series)

    report = dcmread(written(made, tmp_path))

    assert report.StudyInstanceUID == made.segmentation.StudyInstanceUID
    assert report.SeriesInstanceUID != made.segmentation.SeriesInstanceUID
    assert (report.Modality, report.CompletionFlag, report.VerificationFlag) == ("SR", "COMPLETE", "UNVERIFIED")
