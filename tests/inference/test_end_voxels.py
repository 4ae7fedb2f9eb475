"""A model grid whose first and last voxel centres are those of the series: values and positions of SciPy's ``zoom``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import zoom

from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import ResampledImage, model_geometry
from clickseg.inference.spline_image import make_spline_image
from clickseg.models.spec import GridSpec, ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import full_image, label_map_from_logits

END_VOXELS = {"alignment": "end_voxels"}
SPACING_MM = (1.3, 2.1, 1.7)


@given(
    st.tuples(*[st.integers(1, 13)] * 3),
    st.tuples(*[st.sampled_from([0.8, 1.3, 2.0, 4.1])] * 3),
    st.sampled_from(["RAS", "SPL", "AIR"]),
)
@settings(max_examples=40, deadline=None)
def test_values_are_those_of_scipy(shape: tuple[int, ...], spacing_mm: tuple[float, ...], orientation: str) -> None:
    source = phantoms.oblique_geometry(shape)
    volume = source.with_array(np.random.default_rng(2).normal(size=shape).astype(np.float32))

    image = ResampledImage(volume, GridSpec(spacing_mm=spacing_mm, orientation=orientation, **END_VOXELS))

    oriented = reorientation_to(source, orientation).view(volume.array)
    factors = [count / old for count, old in zip(image.shape, oriented.shape, strict=True)]
    np.testing.assert_allclose(full_image(image), zoom(oriented.astype(float), factors, order=1), atol=1e-6)


def test_cubic_values_are_those_of_scipy_inside() -> None:
    """Near the borders SciPy mirrors the volume, and ClickSeg repeats its outermost values."""
    source = phantoms.oblique_geometry((40, 44, 48))
    volume = source.with_array(np.random.default_rng(2).normal(size=source.spatial_shape).astype(np.float32))
    grid = GridSpec(spacing_mm=SPACING_MM, orientation="SAR", image_order=3, **END_VOXELS)

    image = make_spline_image(volume, grid)

    oriented = reorientation_to(source, "SAR").view(volume.array)
    factors = [count / old for count, old in zip(image.shape, oriented.shape, strict=True)]
    expected = np.clip(zoom(oriented.astype(float), factors, order=3), oriented.min(), oriented.max())
    inside = tuple(
        slice(int(12 * factor), int(count - 12 * factor)) for count, factor in zip(image.shape, factors, strict=True)
    )
    np.testing.assert_allclose(full_image(image)[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("orientation", ["RAS", "SPL"])
def test_the_outermost_centres_are_at_the_same_mm(orientation: str) -> None:
    source = phantoms.oblique_geometry((9, 14, 17))

    model = model_geometry(source, GridSpec(spacing_mm=SPACING_MM, orientation=orientation, **END_VOXELS))

    oriented = reorientation_to(source, orientation).apply(source)
    counts = [round(s / w * n) for s, w, n in zip(oriented.spacing, SPACING_MM, oriented.spatial_shape, strict=True)]
    assert model.spatial_shape == tuple(counts)
    ends = [
        grid.map_indices_to_reference(np.array([[0, 0, 0], [count - 1 for count in grid.spatial_shape]]))
        for grid in (model, oriented)
    ]
    np.testing.assert_allclose(*ends, atol=1e-9)


def test_labels_return_to_the_series_as_with_zoom_of_order_0() -> None:
    section = phantoms.metadata(
        grid={"spacing_mm": SPACING_MM, "orientation": "PIR"} | END_VOXELS,
        output_channels=3,
        classes=[phantoms.organ("a", 1), phantoms.organ("b", 2)],
        interpolation="labels",
    )
    spec, source = ModelSpec.model_validate(section), phantoms.oblique_geometry((17, 11, 13))
    model = model_geometry(source, spec.grid)
    logits = np.random.default_rng(5).normal(size=(3, *model.spatial_shape)).astype(np.float32)

    labels = label_map_from_logits(logits, model, source, spec).array

    oriented = reorientation_to(source, "PIR").view(labels)
    factors = [count / old for count, old in zip(oriented.shape, model.spatial_shape, strict=True)]
    np.testing.assert_array_equal(oriented, zoom(logits.argmax(axis=0), factors, order=0))


def test_thick_slices_need_the_alignment_of_nnunet() -> None:
    with pytest.raises(ValidationError, match="separate_axis_above: expected the alignment edges, as nnU-Net, got end"):
        GridSpec(spacing_mm=(1, 1, 1), separate_axis_above=3, **END_VOXELS)
