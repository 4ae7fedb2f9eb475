"""Cubic images, and slices that are resampled separately, have the values of scikit-image and nnU-Net."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from clickseg.core.arrays import full_box
from clickseg.inference.model_input import GridImage
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.preprocess import make_images
from clickseg.inference.resample import model_geometry
from clickseg.inference.spline_image import make_spline_image
from clickseg.models.spec import GridSpec, ModelSpec
from tests.helpers import phantoms
from tests.helpers.fake_device import FakeDevice, FakeDeviceArray
from tests.helpers.inference import full_image, label_map_from_logits

CUBIC = {"alignment": "edges", "image_order": 3}
THICK_MM = (1.7, 0.9, 6.3)
"""Spacing of rows, columns and slices: the ratio is 7."""
ROUNDING = 5e-4
"""Of float32 coefficients, for values of up to 400; the oracles compute in float64."""


def noise_volume(shape: tuple[int, ...], spacing_mm: tuple[float, float, float] = (1.7, 0.9, 3.1)) -> hd.Volume:
    row, column, between = spacing_mm
    geometry = phantoms.oblique_geometry(shape, pixel_spacing=(row, column), slice_spacing=between)
    return geometry.with_array((100 * np.random.default_rng(5).normal(size=shape)).astype(np.float32))


def resize_edges(array: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    return resize(array.astype(float), shape, order=order, mode="edge", anti_aliasing=False)


def resize_slices(array: np.ndarray, shape: tuple[int, ...], axis: int, order: int) -> np.ndarray:
    """Resizes each slice perpendicular to an axis, then takes the nearest slice, as nnU-Net does."""
    in_plane = [count for index, count in enumerate(shape) if index != axis]
    slices = [resize_edges(plane, tuple(in_plane), order) for plane in np.moveaxis(array, axis, 0)]
    stacked = np.stack(slices, axis)
    coordinates = np.indices(shape).astype(float)
    coordinates[axis] = array.shape[axis] / shape[axis] * (coordinates[axis] + 0.5) - 0.5
    return map_coordinates(stacked, coordinates, order=0, mode="nearest")


def oriented(volume: hd.Volume, grid: GridSpec) -> hd.Volume:
    return reorientation_to(volume, grid.orientation).apply(volume)


@given(
    st.tuples(*[st.integers(1, 15)] * 3),
    st.tuples(*[st.sampled_from([0.8, 1.3, 2.0, 4.1, "source"])] * 3),
    st.sampled_from(["RAS", "SPL", "AIR"]),
)
@settings(max_examples=40, deadline=None)
def test_cubic_values_are_those_of_scikit_image(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], orientation: str
) -> None:
    volume = noise_volume(shape)
    own = reorientation_to(volume, orientation).apply(volume).spacing
    wanted = tuple(own[axis] if value == "source" else value for axis, value in enumerate(spacing_mm))
    grid = GridSpec(spacing_mm=wanted, orientation=orientation, **CUBIC)

    image = make_spline_image(volume, grid)

    expected = resize_edges(oriented(volume, grid).array, image.shape, order=3)
    np.testing.assert_allclose(full_image(image), expected, atol=ROUNDING)


def test_cubic_values_stay_in_the_range_of_the_volume() -> None:
    step = np.zeros((12, 13, 14), np.float32)
    step[5:, :7, 3:] = 1000
    volume = noise_volume(step.shape).with_array(step)
    grid = GridSpec(spacing_mm=(0.6, 0.7, 0.8), **CUBIC)

    image = full_image(make_spline_image(volume, grid))

    unclipped = resize(
        oriented(volume, grid).array.astype(float), image.shape, order=3, mode="edge", anti_aliasing=False, clip=False
    )
    assert unclipped.min() < -50
    assert (image.min(), image.max()) == (0, 1000)


def test_constant_regions_stay_constant() -> None:
    """Windows of air are not run again: their voxels must be equal, not only similar."""
    array = np.full((50, 60, 70), -1024.3, np.float32)
    array[20:30, 20:30, 20:30] = 37.7
    grid = GridSpec(spacing_mm=(1.1, 1.3, 1.2), orientation="SPL", **CUBIC)

    image = full_image(make_spline_image(noise_volume(array.shape).with_array(array), grid))

    assert (image[-20:] == np.float32(-1024.3)).all()


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize(
    ("source_mm", "wanted_mm", "axis"),
    [
        (THICK_MM, (1.3, 2.1, 1.7), 2),  # thick slices of the series
        (THICK_MM, (9.0, 1.0, 1.1), 2),  # the series decides before the model
        ((1.7, 0.9, 2.1), (5.5, 1.0, 1.1), 0),  # thick slices of the model only
        ((1.7, 0.9, 2.1), (1.0, 1.1, 2.9), None),
        ((0.5, 2.0, 2.0), (1.0, 1.1, 1.2), None),  # two coarse axes: no slices
        ((0.5, 2.0, 2.0), (5.0, 1.1, 1.2), None),  # and the model is not asked
    ],
)
def test_thick_slices_are_resampled_separately(
    source_mm: tuple[float, float, float], wanted_mm: tuple[float, float, float], axis: int | None, order: int
) -> None:
    volume = noise_volume((8, 11, 13), source_mm)
    grid = GridSpec(
        spacing_mm=wanted_mm, orientation="LPS", alignment="edges", image_order=order, separate_axis_above=3
    )

    image = make_image(volume, grid)

    array = oriented(volume, grid).array
    expected = resize_edges(array, image.shape, order)
    if axis is not None:
        assert not np.allclose(resize_slices(array, image.shape, axis, order), expected, atol=1)
        expected = resize_slices(array, image.shape, axis, order)
    np.testing.assert_allclose(full_image(image), expected, atol=ROUNDING)


def make_image(volume: hd.Volume, grid: GridSpec) -> GridImage:
    identity = {"kind": "range", "a_min": 0, "a_max": 1, "clip": False}
    ct = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": identity}
    spec = ModelSpec.model_validate(phantoms.metadata(inputs=[ct], grid=grid.model_dump(mode="json")))
    (image,), _ = make_images([volume], spec)
    return image


@pytest.mark.parametrize(
    ("source_mm", "wanted_mm", "axis"),
    [
        (THICK_MM, (1.3, 2.1, 1.7), 2),  # only the series has thick slices
        (THICK_MM, (9.0, 1.0, 1.1), 0),  # back to the series, the model decides first
        ((1.7, 0.9, 2.1), (5.5, 1.0, 1.1), 0),
        ((1.7, 0.9, 2.1), (1.0, 1.1, 2.9), None),
    ],
)
def test_logits_return_by_the_same_rule(
    source_mm: tuple[float, float, float], wanted_mm: tuple[float, float, float], axis: int | None
) -> None:
    source = noise_volume((8, 11, 13), source_mm).get_geometry()
    spec = label_spec(wanted_mm)
    model = model_geometry(source, spec.grid)
    logits = np.random.default_rng(3).normal(size=(3, *model.spatial_shape)).astype(np.float32)

    labels = label_map_from_logits(logits, model, source, spec).array

    view = reorientation_to(source, "LPS").view(labels)
    if axis is None:
        resized = [resize_edges(channel, view.shape, 1) for channel in logits]
    else:
        resized = [resize_slices(channel, view.shape, axis, 1) for channel in logits]
    np.testing.assert_array_equal(view, np.argmax(resized, axis=0))


def label_spec(wanted_mm: tuple[float, float, float]) -> ModelSpec:
    return ModelSpec.model_validate(
        phantoms.metadata(
            grid={"spacing_mm": wanted_mm, "orientation": "LPS", "separate_axis_above": 3} | CUBIC,
            output_channels=3,
            classes=[phantoms.organ("low", 1), phantoms.organ("high", 2)],
        )
    )


@pytest.mark.parametrize("wanted_mm", [(1.3, 2.1, 1.7), (9.0, 1.0, 1.1), (1.0, 1.1, 2.9)], ids=str)
@pytest.mark.parametrize("source_mm", [THICK_MM, (1.7, 0.9, 2.1)], ids=str)
def test_images_and_logits_are_those_of_nnunet(
    source_mm: tuple[float, float, float], wanted_mm: tuple[float, float, float]
) -> None:
    nnunet = pytest.importorskip("nnunetv2.preprocessing.resampling.default_resampling")
    volume, spec = noise_volume((8, 11, 13), source_mm), label_spec(wanted_mm)
    array, own_mm = oriented(volume, spec.grid).array, oriented(volume, spec.grid).spacing
    options = {"force_separate_z": None, "order_z": 0, "is_seg": False}

    image = full_image(make_spline_image(volume, spec.grid))

    shape = nnunet.compute_new_shape(array.shape, own_mm, wanted_mm)
    expected = nnunet.resample_data_or_seg_to_shape(array[None], shape, own_mm, wanted_mm, order=3, **options)[0]
    np.testing.assert_allclose(image, expected, atol=ROUNDING)

    logits = np.random.default_rng(3).normal(size=(3, *shape)).astype(np.float32)
    source = volume.get_geometry()
    labels = label_map_from_logits(logits, model_geometry(source, spec.grid), source, spec).array
    back = nnunet.resample_data_or_seg_to_shape(logits, array.shape, wanted_mm, own_mm, order=1, **options)
    np.testing.assert_array_equal(reorientation_to(source, "LPS").view(labels), back.argmax(axis=0))


@pytest.mark.parametrize("separate_axis_above", [None, 3])
def test_an_image_on_a_device_has_the_same_bytes(separate_axis_above: float | None) -> None:
    volume = noise_volume((8, 11, 13), THICK_MM)
    grid = GridSpec(spacing_mm=(1.3, 2.1, 1.7), separate_axis_above=separate_axis_above, **CUBIC)
    image, device = make_spline_image(volume, grid), FakeDevice()
    box = (slice(2, 5), slice(0, 3), slice(3, 6))

    with device.activate():
        on_device = image.to_device(device).crop(box)
        assert isinstance(on_device, FakeDeviceArray)
        assert device.get(on_device).tobytes() == image.crop(box).tobytes()


def test_an_image_does_not_change_its_volume() -> None:
    volume = noise_volume((8, 11, 13))
    before = volume.array.copy()

    image = make_spline_image(volume, GridSpec(spacing_mm=(1.3, 2.1, 1.7), **CUBIC))
    image.crop(full_box(image.shape))[...] = 0

    np.testing.assert_array_equal(volume.array, before)


@pytest.mark.parametrize("field", [{"image_order": 3}, {"separate_axis_above": 3}], ids=str)
def test_fields_of_nnunet_need_its_alignment(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="expected the alignment edges"):
        GridSpec(spacing_mm=(1, 1, 1), **field)
    with pytest.raises(ValidationError, match=next(iter(field))):
        GridSpec(spacing_mm=(1, 1, 1), alignment="edges", **dict.fromkeys(field, 0.5))


def test_defaults_are_not_written() -> None:
    written = GridSpec(spacing_mm=(1, 1, 1), alignment="edges").model_dump()

    assert written == {"spacing_mm": (1, 1, 1), "orientation": "RAS", "alignment": "edges"}
