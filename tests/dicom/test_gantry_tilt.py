"""Series with gantry tilt are measured on an upright grid; the SEG and the clicks are on the planes of the source."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset

from clickseg.clicks.image_clicks import Voxel
from clickseg.core.errors import ClickError, SeriesError
from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.click_binding import check_inside
from clickseg.inference.measurements import MeasurementCache
from clickseg.results.identity import encode_dicom
from clickseg.results.segmentation import SegmentationType
from tests.helpers import phantoms, tilted
from tests.helpers.dicom_results import dciodvfy_errors, make_results
from tests.helpers.sessions import click_at
from tests.helpers.tilted import make_tilted_series, tilted_orientation

UNIFORM = [2.0] * 29
SPACINGS = {
    "uniform": UNIFORM,
    "2 to 1": [1.5] * 20 + [3.0] * 10,
    "1 to 2": [3.0] * 10 + [1.5] * 20,
    "3 to 5": [1.8] * 16 + [3.0] * 10,
    "10 to 17": [2.0] * 15 + [3.4] * 9,
    "fine in the middle": [3.0] * 6 + [1.5] * 14 + [3.0] * 7,
    "missing slice": [2.0] * 10 + [4.0] + [2.0] * 17,
}
ORIENTATIONS = {
    "forwards": tilted_orientation(15),
    "backwards": tilted_orientation(-20),
    "sideways": tilted_orientation(12, sideways=True),
    "coronal rows upwards": np.array([1, 0, 0, 0, -np.cos(0.3), np.sin(0.3)]),  # the normal points to inferior
}


def read(folder: Path, datasets: list[Dataset], *repairs: str) -> SeriesVolume:
    return phantoms.read(phantoms.save(folder, datasets), *(repairs or ("gantry-tilt",)))


def threshold(series: SeriesVolume) -> LabelMap:
    """Returns the voxels above 110 HU: not the mean of inside and outside, so that interpolation would be visible."""
    return LabelMap((series.volume.array > 110).astype(np.uint8), False, 1)


def frames_of(seg: hd.seg.Segmentation) -> list[tuple[str, list[float], np.ndarray]]:
    """Returns the SOP Instance UID of the source, the position and the mask of each frame of a SEG."""
    masks = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    groups = seg.PerFrameFunctionalGroupsSequence
    return [
        (
            str(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID),
            [float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient],
            mask,
        )
        for group, mask in zip(groups, masks, strict=True)
    ]


def centroid(seg: hd.seg.Segmentation, thickness_mm: dict[str, float]) -> np.ndarray:
    """Returns the centroid of a SEG; each source is weighted by the thickness that it represents."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, dtype=float)
    points, weights = [], []
    for uid, position, mask in frames_of(seg):
        j, i = np.nonzero(mask)
        points += list(position + np.outer(i * spacing[1], orientation[:3]) + np.outer(j * spacing[0], orientation[3:]))
        weights += [thickness_mm[uid]] * len(j)
    return np.average(points, axis=0, weights=weights)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
@pytest.mark.parametrize("steps_mm", SPACINGS.values(), ids=SPACINGS)
def test_volume_and_position_of_an_object_are_those_of_the_formula(
    tmp_path: Path, steps_mm: list[float], orientation: np.ndarray
) -> None:
    datasets = make_tilted_series(steps_mm, orientation)
    series = read(tmp_path, datasets)
    labels = threshold(series)

    measured = MeasurementCache(series).measure(labels)[1]
    seg = make_results(series, labels).segmentation

    assert measured.volume_ml == pytest.approx(tilted.VOLUME_ML, rel=0.02)
    thicknesses = np.convolve([steps_mm[0], *steps_mm, steps_mm[-1]], [0.5, 0.5], mode="valid")
    thickness_mm = {
        str(dataset.SOPInstanceUID): thickness for dataset, thickness in zip(datasets, thicknesses, strict=True)
    }
    np.testing.assert_allclose(centroid(seg, thickness_mm), tilted.CENTROID_MM, atol=0.3)
    on_grid = tilted.voxel_positions(series.volume.get_geometry())[labels.mask(1)]
    np.testing.assert_allclose(on_grid.mean(axis=0), tilted.CENTROID_MM, atol=0.3)


@pytest.mark.parametrize("segmentation_type", SegmentationType)
@pytest.mark.parametrize("steps_mm", SPACINGS.values(), ids=SPACINGS)
def test_the_seg_has_the_pixels_and_the_positions_of_the_source(
    tmp_path: Path, steps_mm: list[float], segmentation_type: SegmentationType
) -> None:
    datasets = make_tilted_series(steps_mm, ORIENTATIONS["forwards"])
    series = read(tmp_path, datasets)

    seg = make_results(series, threshold(series), segmentation_type=segmentation_type).segmentation

    sources = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    frames = {uid: (position, mask) for uid, position, mask in frames_of(seg)}
    for uid, source in sources.items():
        expected = source.pixel_array * float(source.RescaleSlope) + float(source.RescaleIntercept) > 110
        if uid in frames:
            assert frames[uid][0] == [float(value) for value in source.ImagePositionPatient]
            np.testing.assert_array_equal(frames[uid][1] > 0, expected)
        else:
            assert not expected.any()
    shared = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    np.testing.assert_allclose(shared.ImageOrientationPatient, ORIENTATIONS["forwards"], atol=1e-9)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_the_volume_is_upright(tmp_path: Path, orientation: np.ndarray) -> None:
    series = read(tmp_path, make_tilted_series(UNIFORM, orientation))

    inside = tilted.is_inside(tilted.voxel_positions(series.volume.get_geometry()))

    labels = threshold(series).mask(1)
    dice = 2 * (labels & inside).sum() / (labels.sum() + inside.sum())
    assert dice > 0.96  # planes are at most half a pixel away: the surface of a sheared object would be 7 pixels away
    assert series.volume.spacing == pytest.approx(
        (2 * abs(np.cross(orientation[:3], orientation[3:])[2]), *tilted.PIXEL_SPACING_MM), abs=1e-4
    )


def test_every_pixel_is_in_the_grid_at_most_half_a_pixel_from_its_position(tmp_path: Path) -> None:
    datasets = make_tilted_series(SPACINGS["2 to 1"], ORIENTATIONS["forwards"])
    series = read(tmp_path, datasets)
    slices = np.arange(series.volume.array.size, dtype=np.uint32).reshape(series.volume.array.shape)
    positions = tilted.voxel_positions(series.volume.get_geometry()).reshape(-1, 3)

    at_planes = series.slices_at_planes(slices)

    for plane, voxels in zip(series.stack.planes, at_planes, strict=True):
        assert voxels.shape == (plane.instance.header.Rows, plane.instance.header.Columns)
        offset = positions[voxels[0, 0]] - plane.position_mm
        assert abs(offset @ plane.orientation[:3]) < 1e-4
        assert abs(offset @ plane.orientation[3:]) < 0.6 * tilted.PIXEL_SPACING_MM[0]
        assert abs(offset @ plane.normal) < 0.51 * series.volume.spacing[0]


def test_shifts_of_whole_pixels_are_exact(tmp_path: Path) -> None:
    row_spacing_mm = 2 * np.sin(np.radians(25))  # each plane is shifted by one row
    series = read(tmp_path, make_tilted_series(UNIFORM, tilted_orientation(25), (row_spacing_mm, 0.8)))

    inside = tilted.is_inside(tilted.voxel_positions(series.volume.get_geometry()))

    assert (threshold(series).mask(1) != inside).sum() <= 2  # at the surface, by rounding of positions


def test_the_repairs_are_reported(tmp_path: Path) -> None:
    uniform = read(tmp_path / "uniform", make_tilted_series(UNIFORM, ORIENTATIONS["forwards"]))
    varying = read(tmp_path / "varying", make_tilted_series(SPACINGS["2 to 1"], ORIENTATIONS["backwards"]))

    assert uniform.files.applied_repairs == ("corrected a gantry tilt of 15.0 degrees",)
    assert varying.files.applied_repairs == (
        "corrected a gantry tilt of 20.0 degrees",
        "resampled from 31 to 83 slices",
    )


def test_the_repair_is_offered_but_not_applied_without_request(tmp_path: Path) -> None:
    folder = phantoms.save(tmp_path, make_tilted_series(UNIFORM, ORIENTATIONS["forwards"]))

    with pytest.raises(SeriesError, match=r"gantry tilt of 15\.0 degrees") as caught:
        phantoms.read_geometry(folder, "resample")

    assert "--repair gantry-tilt" in (caught.value.hint or "")


def test_a_series_without_tilt_is_not_changed(tmp_path: Path) -> None:
    folder = phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()))

    repaired, plain = phantoms.read(folder, "gantry-tilt"), phantoms.read(folder)

    assert repaired.files.applied_repairs == ()
    assert repaired.volume.geometry_equal(plain.volume)
    np.testing.assert_array_equal(repaired.volume.array, plain.volume.array)


def test_gaps_without_tilt_need_their_own_repair(tmp_path: Path) -> None:
    datasets = make_tilted_series(SPACINGS["missing slice"], tilted_orientation(0))

    with pytest.raises(SeriesError, match="1 missing slice in 1 place"):
        read(tmp_path, datasets)


def test_a_slice_that_is_shifted_sideways_is_rejected_despite_the_repair(tmp_path: Path) -> None:
    datasets = make_tilted_series(UNIFORM, ORIENTATIONS["forwards"])
    x, y, z = (float(value) for value in datasets[7].ImagePositionPatient)
    datasets[7].ImagePositionPatient = [f"{x + 3:.6f}", f"{y:.6f}", f"{z:.6f}"]

    with pytest.raises(SeriesError, match="slice positions are not on one line"):
        read(tmp_path, datasets)


def test_spacings_that_differ_too_much_are_rejected(tmp_path: Path) -> None:
    datasets = make_tilted_series([0.1, 2.3, 4.1, 7.7, 9.9], ORIENTATIONS["forwards"])

    with pytest.raises(SeriesError, match="differ too much for a uniform grid"):
        read(tmp_path, datasets)


def test_pixels_outside_the_planes_have_the_lowest_value(tmp_path: Path) -> None:
    series = read(tmp_path, make_tilted_series(UNIFORM, ORIENTATIONS["forwards"]))

    corners = series.volume.array[:, [0, -1]][:, :, [0, -1]]

    assert series.volume.array.shape[1] > tilted.make_tilted_series(UNIFORM[:1], tilted_orientation(0))[0].Rows
    assert np.unique(corners).tolist() == [tilted.OUTSIDE_HU]


@pytest.mark.parametrize("steps_mm", [UNIFORM, SPACINGS["1 to 2"]], ids=["uniform", "two spacings"])
def test_voxel_clicks_count_in_the_slices_of_the_source(tmp_path: Path, steps_mm: list[float]) -> None:
    datasets = make_tilted_series(steps_mm, ORIENTATIONS["forwards"])
    series = read(tmp_path, datasets)
    rows, columns = datasets[0].Rows, datasets[0].Columns

    for k in (0, 1, 17, len(datasets) - 1):
        for j, i in [(0, 0), (rows - 1, columns - 1), (31, 5)]:
            position = np.array(Voxel(i, j, k).position_mm(series.stack))

            first = np.array(datasets[k].ImagePositionPatient, dtype=float)  # k increases along the normal, here with z
            row, column = np.split(ORIENTATIONS["forwards"], 2)
            expected = first + i * tilted.PIXEL_SPACING_MM[1] * row + j * tilted.PIXEL_SPACING_MM[0] * column
            np.testing.assert_allclose(position, expected, atol=1e-4)
            assert Voxel.from_position(tuple(position), series.stack) == (i, j, k)
            geometry = series.volume.get_geometry()
            k_grid, j_grid, i_grid = geometry.map_reference_to_indices(position[np.newaxis])[0]
            fractions = np.array([k_grid, j_grid, i_grid]) / (np.array(geometry.spatial_shape) - 1)
            check_inside(click_at(series, *fractions), "click", geometry)


def test_voxels_outside_the_slices_of_the_source_are_rejected(tmp_path: Path) -> None:
    datasets = make_tilted_series(UNIFORM, ORIENTATIONS["forwards"])
    series = read(tmp_path, datasets)

    with pytest.raises(ClickError, match="outside the series"):
        Voxel(0, datasets[0].Rows, 0).position_mm(series.stack)
    with pytest.raises(ClickError, match="is outside the slices"):
        Voxel.from_position(click_at(series, 0, 0, 0).position_mm, series.stack)


def test_an_enhanced_image_with_tilt_is_segmented_in_its_own_frames(tmp_path: Path) -> None:
    datasets = make_tilted_series(UNIFORM, ORIENTATIONS["forwards"])
    series = phantoms.read(phantoms.write_legacy_enhanced(tmp_path, datasets), "gantry-tilt")
    labels = threshold(series)

    seg = make_results(series, labels).segmentation

    assert MeasurementCache(series).measure(labels)[1].volume_ml == pytest.approx(tilted.VOLUME_ML, rel=0.02)
    positions = {tuple(float(value) for value in dataset.ImagePositionPatient) for dataset in datasets}
    assert {tuple(position) for _, position, _ in frames_of(seg)} <= positions
    np.testing.assert_allclose(centroid(seg, {"2.25.78": 1.0}), tilted.CENTROID_MM, atol=0.3)


@pytest.mark.parametrize("steps_mm", [UNIFORM, SPACINGS["2 to 1"]], ids=["uniform", "two spacings"])
def test_results_of_a_tilted_series_are_valid_dicom(tmp_path: Path, dciodvfy: str, steps_mm: list[float]) -> None:
    series = read(tmp_path / "in", make_tilted_series(steps_mm, ORIENTATIONS["forwards"]))

    made = make_results(series, threshold(series))

    for number, dataset in enumerate((made.segmentation, made.report)):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(encode_dicom(dataset))
        assert dciodvfy_errors(path, dciodvfy) == []
