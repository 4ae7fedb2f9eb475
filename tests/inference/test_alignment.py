"""A model grid whose edges coincide with those of the series: values and positions of scikit-image and nnU-Net."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from skimage.transform import resize

from clickseg.clicks.click import Click, Polarity
from clickseg.inference.alignment import GridAxis, axis_coordinates, model_axis
from clickseg.inference.guidance import rasterize_clicks
from clickseg.inference.linear import LinearWeights
from clickseg.inference.model_grid import ModelGrid, crop_grid
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import ResampledImage, model_geometry, resolve_grid, source_coordinates
from clickseg.models.spec import GridSpec, ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import full_image, label_map_from_logits

EDGES = {"alignment": "edges"}
SPACING_MM = (1.3, 2.1, 1.7)


def edges_mm(grid: hd.VolumeGeometry) -> np.ndarray:
    """Returns the two opposite corners of a grid, in LPS mm."""
    corners = np.array([[-0.5] * 3, [count - 0.5 for count in grid.spatial_shape]])
    return grid.map_indices_to_reference(corners)


def resize_edges(array: np.ndarray, shape: tuple[int, ...], order: int = 1) -> np.ndarray:
    return resize(array.astype(float), shape, order=order, mode="edge", anti_aliasing=False)


@given(
    st.tuples(*[st.integers(1, 13)] * 3),
    st.tuples(*[st.sampled_from([0.8, 1.3, 2.0, 4.1])] * 3),
    st.sampled_from(["RAS", "SPL", "AIR"]),
)
@settings(max_examples=40, deadline=None)
def test_values_are_those_of_scikit_image(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], orientation: str
) -> None:
    source = phantoms.oblique_geometry(shape)
    volume = source.with_array(np.random.default_rng(2).normal(size=shape).astype(np.float32))
    grid = GridSpec(spacing_mm=spacing_mm, orientation=orientation, **EDGES)

    image = ResampledImage(volume, grid)

    oriented = reorientation_to(source, orientation).view(volume.array)
    np.testing.assert_allclose(full_image(image), resize_edges(oriented, image.shape), atol=1e-6)


@pytest.mark.parametrize("orientation", ["RAS", "SPL", "AIR"])
def test_edges_and_centres_are_at_the_same_mm(orientation: str) -> None:
    source = phantoms.oblique_geometry((7, 11, 13))
    grid = GridSpec(spacing_mm=SPACING_MM, orientation=orientation, **EDGES)

    model = model_geometry(source, grid)

    oriented = reorientation_to(source, orientation).apply(source)
    counts = [round(s / w * n) for s, w, n in zip(oriented.spacing, SPACING_MM, oriented.spatial_shape, strict=True)]
    assert model.spatial_shape == tuple(counts)
    np.testing.assert_allclose(edges_mm(model), edges_mm(oriented), atol=1e-9)
    np.testing.assert_allclose(model.direction, oriented.direction, atol=1e-12)
    extents = [n * s for n, s in zip(oriented.spatial_shape, oriented.spacing, strict=True)]
    assert model.spacing == pytest.approx([mm / n for mm, n in zip(extents, counts, strict=True)])


def test_source_coordinates_are_the_model_indices_of_source_voxels() -> None:
    source = phantoms.oblique_geometry()
    grid = GridSpec(spacing_mm=SPACING_MM, orientation="SPL", **EDGES)
    model = model_geometry(source, grid)

    coordinates = source_coordinates(source, model, grid)

    oriented = reorientation_to(source, "SPL").apply(source)
    for index in [(0, 0, 0), (3, 2, 1), tuple(n - 1 for n in oriented.spatial_shape)]:
        expected = model.map_reference_to_indices(oriented.map_indices_to_reference(np.array([index])))[0]
        assert [coordinates[axis][index[axis]] for axis in range(3)] == pytest.approx(expected, abs=1e-9)


def test_a_click_is_in_the_voxel_that_contains_its_position() -> None:
    source = phantoms.oblique_geometry((9, 14, 17))
    spec = ModelSpec.model_validate(
        phantoms.metadata(
            grid={"spacing_mm": SPACING_MM, "orientation": "RAS"} | EDGES,
            guidance=phantoms.GUIDANCE | {"radius_vox": 0},
        )
    )
    model = model_geometry(source, spec.grid)
    position_mm = source.map_indices_to_reference(np.array([[7.4, 2.2, 11.3]]))[0]
    label, polarity = next(iter(spec.accepted_clicks))

    channels = rasterize_clicks([Click(label, Polarity(polarity), tuple(position_mm.tolist()))], model, spec.guidance)

    (voxel,) = np.concatenate(channels)
    oriented = reorientation_to(source, "RAS").apply(source)
    index = oriented.map_reference_to_indices(position_mm[np.newaxis])[0]
    fractions = (index + 0.5) / oriented.spatial_shape  # of the extent from edge to edge
    assert tuple(voxel) == tuple(np.floor(fractions * model.spatial_shape).astype(int))


@pytest.mark.parametrize("spacing_mm", [SPACING_MM, (4.2, 0.9, 2.3)], ids=str)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("interpolation", ["logits", "probabilities", "labels"])
def test_labels_are_those_of_resized_logits(interpolation: str, activation: str, spacing_mm: tuple[float, ...]) -> None:
    source = phantoms.oblique_geometry((8, 11, 13))
    first = 1 if activation == "softmax" else 0
    spec = ModelSpec.model_validate(
        phantoms.metadata(
            grid={"spacing_mm": spacing_mm, "orientation": "SPL"} | EDGES,
            activation=activation,
            output_channels=3,
            classes=[phantoms.organ(f"c{channel}", channel) for channel in range(first, 3)],
            interpolation=interpolation,
        )
    )
    model = model_geometry(source, spec.grid)
    logits = np.random.default_rng(3).normal(size=(3, *model.spatial_shape)).astype(np.float32)

    labels = label_map_from_logits(logits, model, source, spec).array

    shape = reorientation_to(source, "SPL").apply(source).spatial_shape
    softmax = np.exp(logits) / np.exp(logits).sum(axis=0)
    probabilities = softmax if activation == "softmax" else 1 / (1 + np.exp(-logits)) - 0.5
    scores = probabilities if interpolation == "probabilities" else logits
    order = 0 if interpolation == "labels" else 1
    resized = np.stack([resize_edges(channel, shape, order) for channel in scores])
    oriented = reorientation_to(source, "SPL").view(labels)
    if activation == "softmax":
        expected = resized.argmax(axis=0)
    else:
        expected = ((resized > 0) * np.array([1, 2, 4])[:, None, None, None]).sum(axis=0)
        oriented = oriented[..., 0]
    np.testing.assert_array_equal(oriented, expected)


def test_a_box_of_the_source_grid_has_its_own_model_grid() -> None:
    """As in nnU-Net, which resamples what is left after the crop."""
    source, box = phantoms.oblique_geometry((12, 14, 17)), (slice(2, 9), slice(1, 12), slice(5, 16))
    grid = GridSpec(spacing_mm=SPACING_MM, **EDGES)
    part = crop_grid(source, box)
    spec = ModelSpec.model_validate(phantoms.metadata(grid=grid.model_dump(mode="json"), output_channels=2))

    sampling = ModelGrid(source, box, (model := model_geometry(part, grid)), full_box(model)).sample(spec)

    oriented = reorientation_to(part, "RAS").apply(part)
    np.testing.assert_allclose(edges_mm(model), edges_mm(oriented), atol=1e-9)
    for weights, count, model_count in zip(sampling.weights, oriented.spatial_shape, model.spatial_shape, strict=True):
        ramp = resize_edges(np.arange(model_count), (count,))
        np.testing.assert_allclose(
            weights.lower * (1 - weights.weight) + weights.upper * weights.weight, ramp, atol=1e-5
        )


def full_box(grid: hd.VolumeGeometry) -> tuple[slice, ...]:
    return tuple(slice(0, count) for count in grid.spatial_shape)


@pytest.mark.parametrize("count", [1, 2, 65, 67, 512])
@pytest.mark.parametrize("noise", [0.0, 1e-6, -1e-6])
def test_half_a_voxel_is_rounded_as_in_nnunet(count: int, noise: float) -> None:
    axis = model_axis(GridAxis(count, 0.75 * (1 + noise)), 1.5, "edges")

    assert axis.count == max(round(0.75 / 1.5 * count), 1)
    assert axis.count * axis.spacing_mm == pytest.approx(count * 0.75, rel=1e-5)


def test_an_axis_that_keeps_its_spacing_keeps_its_voxels() -> None:
    source = phantoms.oblique_geometry()
    grid = GridSpec(spacing_mm=("source", 1.8, 9.0), spacing_tolerance=(0.75, 1.25), orientation="LPS", **EDGES)
    resolved = resolve_grid(grid, source)

    image = ResampledImage(volume := phantoms.distinct_volume(source), resolved)

    oriented = reorientation_to(source, "LPS").apply(volume)
    assert image.shape[:2] == oriented.spatial_shape[:2]
    expected = resize_edges(oriented.array, image.shape)
    np.testing.assert_allclose(full_image(image), expected, rtol=1e-6)


@given(st.integers(1, 30), st.integers(1, 30))
def test_the_nearest_index_is_that_of_scikit_image(count: int, other: int) -> None:
    coordinates = axis_coordinates(GridAxis(other, 1.0), GridAxis(count, 1.0), "edges")

    weights = LinearWeights.at_nearest(coordinates, count)

    expected = resize(np.arange(count, dtype=float), (other,), order=0, mode="edge", anti_aliasing=False)
    np.testing.assert_array_equal(weights.lower, expected)
    np.testing.assert_array_equal(weights.upper, expected)
    assert not weights.weight.any()


def test_the_default_alignment_is_not_written() -> None:
    assert "alignment" not in GridSpec(spacing_mm=SPACING_MM).model_dump()
    with pytest.raises(ValidationError, match="alignment"):
        GridSpec(spacing_mm=SPACING_MM, alignment="corners")
