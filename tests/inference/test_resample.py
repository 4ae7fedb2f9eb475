"""The model grid and its values equal those of MONAI."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clickseg.core.errors import ModelError
from clickseg.core.sitk import to_sitk
from clickseg.inference.linear import LinearWeights, interpolate
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import (
    ResampledImage,
    model_geometry,
    resample_to_geometry,
    resolve_grid,
    source_coordinates,
)
from clickseg.models.spec import GridSpec
from tests.helpers import phantoms
from tests.helpers.inference import full_image
from tests.helpers.oracles import MetaTensor, Orientation, Spacing, torch

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def resample_with_monai(volume: hd.Volume, grid: GridSpec) -> MetaTensor:
    """Resamples a volume with MONAI's transforms, which use RAS affines of arrays [I, J, K]."""
    image = MetaTensor(torch.from_numpy(volume.array.copy())[None], affine=torch.from_numpy(LPS_TO_RAS @ volume.affine))
    labels = (("L", "R"), ("P", "A"), ("I", "S"))
    oriented = Orientation(axcodes=grid.orientation, labels=labels)(image)
    return Spacing(pixdim=grid.spacing_mm, mode="bilinear", padding_mode="border")(oriented)


@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    shape=st.tuples(*[st.integers(2, 12)] * 3),
    spacing=st.tuples(*[st.integers(6, 50).map(lambda number: number / 10)] * 3),
    # + 0.037: without ties in rounding, and never equal to the source spacing
    model_spacing=st.tuples(*[st.integers(8, 40).map(lambda number: number / 10 + 0.037)] * 3),
    orientation=st.sampled_from(["RAS", "LPS", "SPL", "AIR"]),
)
@settings(max_examples=40)
def test_values_and_positions_equal_monai(
    angles: tuple[float, ...],
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    model_spacing: tuple[float, ...],
    orientation: str,
) -> None:
    geometry = phantoms.oblique_geometry(
        shape, axes=phantoms.rotation_matrix(*angles), pixel_spacing=spacing[:2], slice_spacing=spacing[2]
    )
    noise = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    grid = GridSpec(spacing_mm=model_spacing, orientation=orientation)

    ours = ResampledImage(geometry.with_array(noise), grid)

    theirs = resample_with_monai(geometry.with_array(noise), grid)
    np.testing.assert_allclose(model_geometry(geometry, grid).affine, LPS_TO_RAS @ theirs.affine.numpy(), atol=1e-4)
    assert ours.shape == tuple(theirs.shape[1:])
    np.testing.assert_allclose(full_image(ours), theirs[0].numpy(), atol=1e-3)


def test_the_model_grid_keeps_the_first_voxel_centre_and_the_directions() -> None:
    source = phantoms.oblique_geometry()
    grid = GridSpec(spacing_mm=(2, 2.5, 3), orientation="RAS")

    model = model_geometry(source, grid)

    assert model.position == pytest.approx(reorientation_to(source, "RAS").apply(source).position)
    assert model.spacing == pytest.approx((2, 2.5, 3))
    np.testing.assert_allclose(model.direction, reorientation_to(source, "RAS").apply(source).direction, atol=1e-12)


def test_a_model_grid_that_is_too_large_is_rejected_before_allocation() -> None:
    source = phantoms.oblique_geometry((2000, 1000, 1000))

    with pytest.raises(ModelError, match=r"the model grid has .* voxels of \(0\.05, 0\.05, 0\.05\) mm"):
        model_geometry(source, GridSpec(spacing_mm=(0.05, 0.05, 0.05)))


def test_source_coordinates_are_the_model_indices_of_source_voxels() -> None:
    source = phantoms.oblique_geometry()
    grid = GridSpec(spacing_mm=(2, 2.5, 3), orientation="SPL")
    model = model_geometry(source, grid)

    coordinates = source_coordinates(source, model, grid)

    oriented = reorientation_to(source, "SPL").apply(source)
    for index in [(0, 0, 0), (3, 2, 1), tuple(n - 1 for n in oriented.spatial_shape)]:
        point = oriented.map_indices_to_reference(np.array([index]))
        expected = model.map_reference_to_indices(point)[0]
        assert [coordinates[axis][index[axis]] for axis in range(3)] == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 9), st.lists(st.floats(-3, 12), min_size=1, max_size=8), st.integers(0, 2))
def test_interpolation_along_an_axis_equals_numpy_interp(count: int, coordinates: list[float], axis: int) -> None:
    shape = [2, 3, 2]
    shape[axis] = count
    array = np.random.default_rng(count).normal(size=shape).astype(np.float32)

    values = interpolate(array, axis, LinearWeights.at_coordinates(np.array(coordinates), count))

    lines = np.moveaxis(array, axis, -1).reshape(-1, count)
    expected = np.stack([np.interp(coordinates, np.arange(count), line) for line in lines])
    np.testing.assert_allclose(np.moveaxis(values, axis, -1).reshape(-1, len(coordinates)), expected, atol=1e-5)


def test_a_part_has_the_same_bytes_as_in_the_entire_result() -> None:
    array = np.random.default_rng(0).normal(size=(40, 5, 6)).astype(np.float32)
    weights = LinearWeights.at_coordinates(np.arange(57) * 0.7031, 40)

    everything = interpolate(array, 0, weights)

    for start in (0, 8, 50):
        part = weights.select(slice(start, start + 8), 0)
        assert np.array_equal(interpolate(array, 0, part), everything[start : start + 8])


def test_interpolation_does_not_change_its_input() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    before = array.copy()

    interpolate(array, 1, LinearWeights.at_coordinates(np.array([0.5, 1.5]), 3))

    assert np.array_equal(array, before)


def test_another_series_is_resampled_by_its_position_in_the_patient() -> None:
    source = phantoms.oblique_geometry((20, 22, 24), axes=phantoms.rotation_matrix(0.4, 0.1, -0.3))
    i, j, k = source.map_indices_to_reference(np.indices(source.spatial_shape).reshape(3, -1).T).T
    volume = source.with_array((2 * i - 3 * j + 0.5 * k).astype(np.float32).reshape(source.spatial_shape))
    centre = source.map_indices_to_reference(np.array([[8, 9, 10]]))[0]
    target = hd.VolumeGeometry.from_components(
        (3, 4, 5),
        spacing=(1.1, 0.7, 0.9),
        position=centre.tolist(),
        direction=np.eye(3).tolist(),
        coordinate_system="PATIENT",
    )

    resampled = resample_to_geometry(volume, target)

    x, y, z = target.map_indices_to_reference(np.indices((3, 4, 5)).reshape(3, -1).T).T
    np.testing.assert_allclose(resampled, (2 * x - 3 * y + 0.5 * z).reshape(3, 4, 5), atol=1e-2)


def test_itk_images_have_the_geometry_of_the_volume() -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())

    image = to_sitk(volume)

    for index in [(0, 0, 0), (6, 10, 12), (2, 5, 1)]:
        point = volume.map_indices_to_reference(np.array([index]))[0]
        itk_index = image.TransformPhysicalPointToIndex(point.tolist())
        assert image[itk_index] == volume.array[index]
    assert isinstance(image, SimpleITK.Image)


def test_a_grid_takes_spacing_and_orientation_from_the_series() -> None:
    source = phantoms.oblique_geometry((7, 11, 13))  # spacing of K, J, I: 3.1, 1.7, 0.9
    grid = GridSpec(spacing_mm=("source", 2.0, "source"), orientation="source")

    resolved = resolve_grid(grid, source)

    assert resolved.resolved_spacing_mm == pytest.approx((0.9, 2.0, 3.1))
    model_grid = model_geometry(source, resolved)
    assert model_grid.spatial_shape == (13, 10, 7)
    directions = [np.array(source.direction)[:, axis] for axis in (2, 1, 0)]
    expected = np.stack([directions[0], directions[1], -directions[2]], axis=1)  # ITK: along the normal of the slices
    np.testing.assert_allclose(model_grid.direction, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("wanted", "resolved"), [(1.0, 0.9), (1.2, 0.9), (1.21, 1.21), (0.73, 0.9), (0.71, 0.71)], ids=str
)
def test_an_axis_within_the_tolerance_keeps_its_spacing(wanted: float, resolved: float) -> None:
    """As MONAI's ``Spacing`` with ``min_pixdim`` and ``max_pixdim`` of 0.75 and 1.25 times the spacing."""
    source = phantoms.oblique_geometry((7, 11, 13), axes=np.eye(3))
    grid = GridSpec(spacing_mm=(wanted, 9.0, 9.0), spacing_tolerance=(0.75, 1.25), orientation="LPS")

    assert resolve_grid(grid, source).resolved_spacing_mm == pytest.approx((resolved, 9.0, 9.0))


def test_a_grid_that_does_not_depend_on_the_series_stays_the_same() -> None:
    grid = GridSpec(spacing_mm=(1.0, 2.0, 3.0))

    assert resolve_grid(grid, phantoms.oblique_geometry()) is grid
    assert grid.model_dump() == {"spacing_mm": (1.0, 2.0, 3.0), "orientation": "RAS"}


@pytest.mark.parametrize("tolerance", [(1.1, 1.2), (0.5, 0.9), (-1, 2)])
def test_a_tolerance_that_excludes_the_spacing_itself_is_an_error(tolerance: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="spacing_tolerance"):
        GridSpec(spacing_mm=(1.0, 1.0, 1.0), spacing_tolerance=tolerance)
