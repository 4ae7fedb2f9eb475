"""Slices are sorted into a volume or rejected with a reason. ITK is the reference for voxel positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from clickseg.core.errors import SeriesError
from clickseg.dicom.stack import Stack
from tests.helpers import phantoms


def read_with_itk(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def move_slice(dataset: Dataset, distance_mm: float) -> None:
    """Moves a slice along its normal."""
    orientation = np.array(dataset.ImageOrientationPatient, dtype=float)
    normal = np.cross(orientation[:3], orientation[3:])
    dataset.ImagePositionPatient = [
        f"{value:.8g}" for value in np.array(dataset.ImagePositionPatient, dtype=float) + distance_mm * normal
    ]


def make_stack(folder: Path, datasets: list[Dataset], *repairs: str) -> Stack:
    return phantoms.read_geometry(phantoms.save(folder, datasets), *repairs).stack


@pytest.fixture
def slices() -> list[Dataset]:
    return phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))


@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 6)] * 3),
    order=st.permutations(range(5)),
)
@settings(max_examples=25)
def test_voxel_positions_are_the_same_as_in_itk(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, ...],
    spacing: tuple[float, ...],
    order: list[int],
) -> None:
    geometry = phantoms.oblique_geometry(
        (5, 6, 4), axes=phantoms.rotation_matrix(*angles), pixel_spacing=spacing[:2], slice_spacing=spacing[2]
    )
    datasets = phantoms.instances(phantoms.distinct_volume(geometry))
    folder = phantoms.save(tmp_path_factory.mktemp("series"), [datasets[index] for index in order])

    volume = phantoms.read(folder).volume

    image = read_with_itk(folder)
    for index in [(0, 0, 0), (4, 5, 3), (1, 4, 2)]:
        point = volume.map_indices_to_reference(np.array([index]))[0]
        itk_index = image.TransformPhysicalPointToIndex(point.tolist())
        assert np.allclose(image.TransformIndexToPhysicalPoint(itk_index), point, atol=1e-3)
        assert image[itk_index] == volume.array[index]


def test_slice_positions_may_jitter_within_five_percent(tmp_path: Path, slices: list[Dataset]) -> None:
    for dataset, distance_mm in zip(slices, [0.05, -0.05, 0.08, -0.08, 0.02, 0, -0.06], strict=True):
        move_slice(dataset, distance_mm)

    stack = make_stack(tmp_path, slices)

    assert stack.geometry.spacing[0] == pytest.approx(phantoms.SLICE_SPACING, abs=0.05)
    assert not stack.is_resampled


def test_a_series_with_one_slice_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    with pytest.raises(SeriesError, match="a volume needs at least 2 slices, got 1"):
        make_stack(tmp_path, slices[:1])


def test_two_slices_are_a_volume(tmp_path: Path, slices: list[Dataset]) -> None:
    assert make_stack(tmp_path, slices[:2]).geometry.spatial_shape == (2, 11, 13)


def test_a_missing_slice_is_named_with_its_neighbours(tmp_path: Path, slices: list[Dataset]) -> None:
    del slices[3]

    with pytest.raises(
        SeriesError, match=r"1 missing slice in 1 place: between image\d+ at .* mm and image\d+ at"
    ) as caught:
        make_stack(tmp_path, slices)

    assert "resample" in (caught.value.hint or "")


def test_the_number_of_gaps_is_reported(tmp_path: Path) -> None:
    slices = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry((10, 11, 13))))

    with pytest.raises(SeriesError, match="3 missing slices in 2 places"):
        make_stack(tmp_path, [slices[index] for index in (0, 1, 2, 5, 6, 8, 9)])


def test_variable_spacing_is_rejected(tmp_path: Path, slices: list[Dataset]) -> None:
    move_slice(slices[0], 1.4)

    with pytest.raises(SeriesError, match=r"slice spacing varies from 3\.100 to 4\.500 mm"):
        make_stack(tmp_path, slices)


def test_two_files_at_one_position_are_named(tmp_path: Path, slices: list[Dataset]) -> None:
    duplicate = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))[2]
    duplicate.SOPInstanceUID = "2.25.1"

    with pytest.raises(SeriesError, match=r"1 duplicate slice position: image\d+ and image\d+ are both at"):
        make_stack(tmp_path, [*slices, duplicate])


def test_gantry_tilt_is_reported_in_degrees(tmp_path: Path, slices: list[Dataset]) -> None:
    for index, dataset in enumerate(slices):
        column = np.array(dataset.ImageOrientationPatient[3:], dtype=float)
        position = np.array(dataset.ImagePositionPatient, dtype=float)
        shift = index * phantoms.SLICE_SPACING * np.tan(np.radians(12)) * column
        dataset.ImagePositionPatient = [f"{value:.8g}" for value in position + shift]

    with pytest.raises(SeriesError, match=r"gantry tilt of 12\.0 degrees"):
        make_stack(tmp_path, slices)


def test_a_slice_that_is_shifted_sideways_is_named(tmp_path: Path, slices: list[Dataset]) -> None:
    row = np.array(slices[3].ImageOrientationPatient[:3], dtype=float)
    position = np.array(slices[3].ImagePositionPatient, dtype=float)
    slices[3].ImagePositionPatient = [f"{value:.8g}" for value in position + 5 * row]

    with pytest.raises(SeriesError, match="slice positions are not on one line"):
        make_stack(tmp_path, slices)


def test_the_number_of_orientations_is_reported(tmp_path: Path, slices: list[Dataset]) -> None:
    slices[1].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slices[2].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    with pytest.raises(SeriesError, match="3 orientations in one series: 5 images such as image"):
        make_stack(tmp_path, slices)


def test_the_number_of_pixel_spacings_is_reported(tmp_path: Path, slices: list[Dataset]) -> None:
    slices[4].PixelSpacing = [1.7, 1.0]

    with pytest.raises(SeriesError, match="2 pixel spacings in one series"):
        make_stack(tmp_path, slices)


def test_a_regular_series_is_not_resampled(tmp_path: Path, slices: list[Dataset]) -> None:
    geometry = phantoms.read_geometry(phantoms.save(tmp_path, slices), "resample")

    assert not geometry.stack.is_resampled
    assert geometry.files.applied_repairs == ()


def test_a_gap_is_filled_by_the_resample_repair(tmp_path: Path, slices: list[Dataset]) -> None:
    complete = phantoms.read(phantoms.save(tmp_path / "complete", slices)).volume
    del slices[3]

    series = phantoms.read(phantoms.save(tmp_path / "gap", slices), "resample")

    assert series.files.applied_repairs == ("resampled from 6 to 7 slices",)
    assert series.volume.geometry_equal(complete, tol=1e-4)
    np.testing.assert_allclose(series.volume.array, complete.array, atol=1e-3)  # the phantom is linear in k
    labels = np.arange(7, dtype=np.uint8)[:, None, None]
    assert series.slices_at_planes(labels).ravel().tolist() == [0, 1, 2, 4, 5, 6]
