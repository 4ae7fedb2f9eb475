"""The SEG has the right positions, codes and references, and the same bytes for the same input."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread
from scipy.spatial import KDTree

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.errors import UsageError
from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import SeriesVolume
from clickseg.results.identity import encode_dicom
from clickseg.results.segmentation import SegmentationType
from tests.helpers import phantoms
from tests.helpers.dicom_results import MadeResult, dciodvfy_errors, hook_labels, make_results, spec


@pytest.fixture
def series(tmp_path: Path) -> SeriesVolume:
    return phantoms.read(phantoms.write(tmp_path / "in", phantoms.distinct_volume(phantoms.oblique_geometry())))


CLICKS = Clicks((Click("hook", Polarity.FOREGROUND, (1.0, 2.0, 3.0)),))


def save_seg(made: MadeResult, folder: Path) -> Path:
    path = folder / "seg.dcm"
    path.write_bytes(encode_dicom(made.segmentation))
    return path


def source_points(series: SeriesVolume, mask: np.ndarray) -> np.ndarray:
    """Returns the LPS positions of voxels by the plane positions of the source instances, not by the fitted grid."""
    points = []
    for k, j, i in np.argwhere(series.slices_at_planes(mask.astype(np.uint8))):
        plane = series.stack.planes[k]
        row, column = plane.orientation[:3], plane.orientation[3:]
        points.append(plane.position_mm + j * plane.pixel_spacing_mm[0] * column + i * plane.pixel_spacing_mm[1] * row)
    return np.array(sorted(map(tuple, np.round(points, 3))))


def seg_points(path: Path) -> np.ndarray:
    """Returns the LPS positions of the voxels of a SEG, by highdicom's plane positions of the frames."""
    segmentation = hd.seg.segread(path)
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    orientation = [float(x) for x in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    spacing = [float(x) for x in shared.PixelMeasuresSequence[0].PixelSpacing]
    points = []
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        position = [float(x) for x in groups.PlanePositionSequence[0].ImagePositionPatient]
        to_reference = hd.spatial.PixelToReferenceTransformer(position, orientation, spacing)
        points.extend(to_reference(np.argwhere(frame)[:, ::-1]))
    return np.array(sorted(map(tuple, np.round(points, 3))))


def itk_points(path: Path, folder: Path) -> np.ndarray:
    """Returns the LPS positions of the voxels of a SEG, as dcmqi reads them for 3D Slicer."""
    folder.mkdir()
    command = [str(Path(sys.executable).with_name("segimage2itkimage"))]
    subprocess.run([*command, "--inputDICOM", path, "--outputDirectory", folder], check=True, capture_output=True)
    image = SimpleITK.ReadImage(str(folder / "1.nrrd"))
    voxels = np.argwhere(SimpleITK.GetArrayFromImage(image))[:, ::-1]
    points = [image.TransformIndexToPhysicalPoint(voxel.tolist()) for voxel in voxels]
    return np.array(sorted(map(tuple, np.round(points, 3))))


def jitter_positions(datasets: list[Dataset]) -> list[Dataset]:
    for dataset, shift in zip(datasets, [0.06, -0.07, 0.08, 0, -0.05, 0.1, 0], strict=True):
        normal = np.cross(dataset.ImageOrientationPatient[:3], dataset.ImageOrientationPatient[3:])
        position = np.array(dataset.ImagePositionPatient, dtype=float) + shift * normal
        dataset.ImagePositionPatient = [f"{value:.8g}" for value in position]
    return datasets


ORDERS = {
    "as stacked": lambda datasets: datasets,
    "reversed": lambda datasets: datasets[::-1],
    "shuffled": lambda datasets: [datasets[index] for index in (4, 0, 6, 2, 5, 1, 3)],
    "jittered": jitter_positions,
}


@pytest.mark.parametrize("arrange", ORDERS.values(), ids=ORDERS)
def test_each_voxel_has_the_position_of_its_source(tmp_path: Path, arrange: object) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    series = phantoms.read(phantoms.save(tmp_path / "in", arrange(datasets)))
    made = make_results(series)
    path = save_seg(made, tmp_path)

    expected = source_points(series, made.labels.mask(1))

    np.testing.assert_allclose(seg_points(path), expected, atol=2e-3)
    if arrange is not jitter_positions:  # dcmqi puts all slices on a uniform grid
        np.testing.assert_allclose(itk_points(path, tmp_path / "itk"), expected, atol=5e-3)


@pytest.mark.parametrize("decimals", [3, 4, 6])
@pytest.mark.parametrize("angles", [(0.3, -0.2, 0.5), (1.1, 0.4, -0.9), (0.001, 0.002, 0.0007)])
def test_voxels_of_a_series_with_rounded_cosines_have_the_position_of_their_source(
    tmp_path: Path, decimals: int, angles: tuple[float, float, float]
) -> None:
    geometry = phantoms.oblique_geometry((40, 11, 13), axes=phantoms.rotation_matrix(*angles))
    datasets = phantoms.instances(phantoms.distinct_volume(geometry))
    for dataset in datasets:
        dataset.ImageOrientationPatient = [round(float(c), decimals) for c in dataset.ImageOrientationPatient]
    series = phantoms.read(phantoms.save(tmp_path / "in", datasets))
    made = make_results(series)
    path = save_seg(made, tmp_path)

    voxels = np.argwhere(made.labels.mask(1))
    exact = geometry.map_indices_to_reference(voxels)
    np.testing.assert_allclose(series.volume.map_indices_to_reference(voxels), exact, atol=0.05)
    for found in (seg_points(path), itk_points(path, tmp_path / "itk")):
        distance, nearest = KDTree(exact).query(found)
        assert distance.max() < 0.1
        assert len(found) == len(exact) == len(set(nearest))


def test_each_voxel_of_a_multi_frame_series_has_the_position_of_its_source(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    series = phantoms.read(phantoms.write_legacy_enhanced(tmp_path / "in", datasets))
    made = make_results(series)
    path = save_seg(made, tmp_path)

    np.testing.assert_allclose(seg_points(path), source_points(series, made.labels.mask(1)), atol=2e-3)


def test_each_voxel_of_a_resampled_series_has_the_position_of_its_source(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    del datasets[3]
    series = phantoms.read(phantoms.save(tmp_path / "in", datasets), "resample")
    made = make_results(series)
    path = save_seg(made, tmp_path)

    assert series.volume.spatial_shape[0] == 7
    assert "SpacingBetweenSlices" not in series.sources[0]
    np.testing.assert_allclose(seg_points(path), source_points(series, made.labels.mask(1)), atol=2e-3)


def test_each_frame_references_its_source_and_the_seg_references_all_sources(
    tmp_path: Path, series: SeriesVolume
) -> None:
    segmentation = dcmread(save_seg(make_results(series), tmp_path))

    by_position = {tuple(np.round(p.position_mm, 4)): p.instance.text("SOPInstanceUID") for p in series.stack.planes}
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        position = tuple(np.round(np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float), 4))
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == by_position[position]
    (referenced,) = segmentation.ReferencedSeriesSequence
    assert len(referenced.ReferencedInstanceSequence) == 7
    assert referenced.SeriesInstanceUID == series.files.series_uid


def test_each_frame_references_the_frame_of_a_multi_frame_source(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    shuffled = [datasets[index] for index in (4, 0, 6, 2, 5, 1, 3)]
    series = phantoms.read(phantoms.write_legacy_enhanced(tmp_path / "in", shuffled))

    segmentation = dcmread(save_seg(make_results(series), tmp_path))

    by_position = {tuple(np.round(p.position_mm, 4)): p.frame_number for p in series.stack.planes}
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        position = tuple(np.round(np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float), 4))
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedFrameNumber == by_position[position]


@pytest.mark.parametrize("kind", ["classic", "multi-frame"])
def test_dciodvfy_finds_no_error(tmp_path: Path, dciodvfy: str, kind: str) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    write = (
        phantoms.write if kind == "classic" else lambda f, v: phantoms.write_legacy_enhanced(f, phantoms.instances(v))
    )

    path = save_seg(make_results(phantoms.read(write(tmp_path / "in", volume))), tmp_path)

    assert dciodvfy_errors(path, dciodvfy) == []


@pytest.mark.parametrize(("clicks", "expected"), [(Clicks(), "AUTOMATIC"), (CLICKS, "SEMIAUTOMATIC")])
def test_the_algorithm_is_semiautomatic_if_clicks_were_used(
    series: SeriesVolume, clicks: Clicks, expected: str
) -> None:
    (segment,) = make_results(series, clicks=clicks).segmentation.SegmentSequence

    assert segment.SegmentAlgorithmType == expected
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "ClickSeg test"
    assert f"weights_sha256={'ab' * 32}" in algorithm.AlgorithmParameters
    assert ("clicks_sha256=" in algorithm.AlgorithmParameters) == bool(clicks.points)


def labels_of_two_organs(series: SeriesVolume) -> LabelMap:
    """Returns three classes: class 1 is empty, class 2 is the hook, class 3 is one corner."""
    array = 2 * hook_labels(series).array
    array[-1, -1, -1] = 3
    return LabelMap(array, False, 3)


def test_each_class_in_the_label_map_has_one_segment(series: SeriesVolume) -> None:
    liver = phantoms.organ("liver", 1)
    spleen = phantoms.organ("spleen", 2, type={"value": "78961009", "scheme": "SCT", "meaning": "Spleen"})
    cyst = phantoms.organ("cyst", 3, anatomic_region={"value": "10200004", "scheme": "SCT", "meaning": "Liver"})

    segmentation = make_results(series, labels_of_two_organs(series), spec(liver, spleen, cyst)).segmentation

    assert [(s.SegmentNumber, s.SegmentLabel) for s in segmentation.SegmentSequence] == [(1, "spleen"), (2, "cyst")]
    first, second = segmentation.SegmentSequence
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Spleen"
    assert second.AnatomicRegionSequence[0].CodeValue == "10200004"
    assert first.TrackingUID != second.TrackingUID


@pytest.mark.parametrize("segmentation_type", SegmentationType)
def test_classes_are_read_back_unchanged(
    tmp_path: Path, series: SeriesVolume, segmentation_type: SegmentationType
) -> None:
    model = spec(*(phantoms.organ(name, channel) for channel, name in enumerate(["a", "b", "c"], 1)))
    labels = labels_of_two_organs(series)

    made = make_results(series, labels, model, segmentation_type=segmentation_type)

    back = hd.seg.segread(save_seg(made, tmp_path))
    sources = [plane.instance.text("SOPInstanceUID") for plane in series.stack.planes]
    pixels = back.get_pixels_by_source_instance(
        sources, segment_numbers=[1, 2], ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(pixels[..., 0] > 0, labels.mask(2))
    np.testing.assert_array_equal(pixels[..., 1] > 0, labels.mask(3))


def overlapping_labels(series: SeriesVolume) -> LabelMap:
    """Returns ten classes as bits: class 1 is the hook, class 9 its lower half, class 10 one corner."""
    inside = hook_labels(series).mask(1)
    array = np.zeros((*inside.shape, 2), dtype=np.uint8)
    array[inside, 0] = 1
    array[4:][inside[4:], 1] |= 1
    array[0, 0, 0, 1] |= 2
    return LabelMap(array, True, 10)


def test_overlapping_classes_are_read_back_unchanged(tmp_path: Path, dciodvfy: str, series: SeriesVolume) -> None:
    model = spec(*(phantoms.organ(f"c{n}", n) for n in range(10)), activation="sigmoid")
    labels = overlapping_labels(series)

    made = make_results(series, labels, model)

    path = save_seg(made, tmp_path)
    back = hd.seg.segread(path)
    assert [item.SegmentLabel for item in back.SegmentSequence] == ["c0", "c8", "c9"]
    sources = [plane.instance.text("SOPInstanceUID") for plane in series.stack.planes]
    pixels = back.get_pixels_by_source_instance(
        sources, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    for segment, number in enumerate((1, 9, 10)):
        np.testing.assert_array_equal(pixels[..., segment] > 0, labels.mask(number))
    assert dciodvfy_errors(path, dciodvfy) == []


def test_overlapping_classes_cannot_be_a_labelmap(series: SeriesVolume) -> None:
    model = spec(*(phantoms.organ(f"c{n}", n) for n in range(10)), activation="sigmoid")

    with pytest.raises(UsageError, match="LABELMAP cannot represent classes that overlap"):
        make_results(series, overlapping_labels(series), model, segmentation_type=SegmentationType.LABELMAP)


def test_an_empty_label_map_has_no_segmentation(series: SeriesVolume) -> None:
    empty = LabelMap(np.zeros(series.volume.spatial_shape, np.uint8), False, 1)

    assert make_results(series, empty).segmentation is None


@pytest.mark.parametrize("character_set", ["ISO_IR 100", None])
def test_names_in_any_script_are_read_back_unchanged(tmp_path: Path, dciodvfy: str, character_set: str | None) -> None:
    datasets = phantoms.instances(phantoms.hook_volume(phantoms.oblique_geometry()))
    for dataset in datasets:
        dataset.SpecificCharacterSet, dataset.PatientName = character_set, "Müller^J" if character_set else "Miller^J"
    series = phantoms.read(phantoms.save(tmp_path / "in", datasets))
    model = spec(phantoms.organ("病変 Läsion", 1))

    made = make_results(series, model=model)

    path = save_seg(made, tmp_path)
    back = dcmread(path)
    assert back.SpecificCharacterSet == "ISO_IR 192"
    assert back.SegmentSequence[0].SegmentLabel == "病変 Läsion"
    assert str(back.PatientName) == str(datasets[0].PatientName)
    assert dciodvfy_errors(path, dciodvfy) == []
    (tmp_path / "sr.dcm").write_bytes(encode_dicom(made.report))
    assert "病変 Läsion" in str(dcmread(tmp_path / "sr.dcm").ContentSequence)
    assert dciodvfy_errors(tmp_path / "sr.dcm", dciodvfy) == []


def test_the_same_input_gives_the_same_bytes(series: SeriesVolume) -> None:
    first, second = make_results(series), make_results(series)

    assert encode_dicom(first.segmentation) == encode_dicom(second.segmentation)
    assert encode_dicom(first.report) == encode_dicom(second.report)


@pytest.mark.parametrize("segmentation_type", SegmentationType)
def test_the_encoded_bytes_are_those_that_pydicom_writes(
    series: SeriesVolume, segmentation_type: SegmentationType
) -> None:
    made = make_results(series, clicks=CLICKS, segmentation_type=segmentation_type)

    assert len(made.documents) == 2
    for document in made.documents:
        file = BytesIO()
        document.dataset.save_as(file, enforce_file_format=True)
        assert document.content == file.getvalue()
        assert document.uid == str(dcmread(BytesIO(document.content)).SOPInstanceUID)


def test_dates_and_times_are_those_of_the_clock(series: SeriesVolume) -> None:
    made = make_results(series)

    for dataset in (made.segmentation, made.report):
        for prefix in ("Content", "Series", "InstanceCreation"):
            assert str(dataset[f"{prefix}Date"].value) == "20260102"
            assert str(dataset[f"{prefix}Time"].value) == "030405"
