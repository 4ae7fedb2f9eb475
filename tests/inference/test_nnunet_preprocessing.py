"""Crop, z-scores and resampling of several inputs have the values of nnU-Net, and sessions the bytes of full runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage
from skimage.transform import resize

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import full_box
from clickseg.core.errors import InputError
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.preprocess import make_images
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec
from clickseg.session.session import Session
from tests.helpers import phantoms
from tests.helpers.fake_device import FakeDevice
from tests.helpers.full_run import segment_series
from tests.helpers.inference import full_image
from tests.helpers.sessions import click_at, model_description

SPACING_MM = (1.3, 2.1, 1.7)
GRID = {"spacing_mm": SPACING_MM, "orientation": "LPS", "alignment": "edges", "image_order": 3}
ZSCORE = {"kind": "zscore", "foreground": True}
CROP = {"voxels": "nonzero", "values": "source", "grid": "source", "inputs": "any"}
SHAPE = (12, 15, 18)


def mr(name: str, **changes: object) -> dict[str, object]:
    return {
        "name": name,
        "modality": "MR",
        "unit": "",
        "scaling": ZSCORE,
        "scale_before_resampling": True,
    } | changes


def section(**changes: object) -> dict[str, object]:
    return phantoms.metadata(**{"inputs": [mr("T1"), mr("T2")], "grid": GRID, "crop": CROP} | changes)


def brains() -> list[hd.Volume]:
    """Returns two images of one region, 0 outside; the second extends further, and both have a hole inside."""
    geometry, rng = phantoms.oblique_geometry(SHAPE), np.random.default_rng(6)
    first, second = (rng.normal(300, 90, SHAPE).round().astype(np.float32) for _ in range(2))
    region = np.zeros(SHAPE, bool)
    region[2:9, 3:12, 4:15] = True
    wider = np.zeros(SHAPE, bool)
    wider[3:10, 1:11, 5:13] = True
    for array, mask in ((first, region), (second, wider)):
        array[~mask] = 0
        array[5:7, 6:8, 8:11] = 0
    return [geometry.with_array(first), geometry.with_array(second)]


def preprocess_as_nnunet(volumes: list[hd.Volume]) -> tuple[np.ndarray, np.ndarray]:
    """Returns crop, z-scores and cubic resampling [C, I, J, K] in the order of nnU-Net, and the mask in the crop."""
    data = np.stack([volume.to_patient_orientation("LPH").array for volume in volumes]).astype(float)
    mask = ndimage.binary_fill_holes((data != 0).any(axis=0))
    (box,) = ndimage.find_objects(mask.astype(int))
    data, mask = data[(slice(None), *box)], mask[box]
    for channel in data:
        channel[mask] = (channel[mask] - channel[mask].mean()) / channel[mask].std()
    own_mm = volumes[0].to_patient_orientation("LPH").spacing
    shape = [round(s / w * n) for s, w, n in zip(own_mm, SPACING_MM, mask.shape, strict=True)]
    resized = [resize(channel, shape, order=3, mode="edge", anti_aliasing=False) for channel in data]
    return np.stack(resized), mask


def test_images_are_those_of_nnunet() -> None:
    volumes = brains()

    images, grid = make_images(volumes, ModelSpec.model_validate(section()))

    expected, mask = preprocess_as_nnunet(volumes)
    assert (grid.source_box[0], grid.source_box[1]) == (slice(2, 10), slice(1, 12))
    assert mask.sum() > (np.stack([volume.array for volume in volumes]) != 0).any(axis=0).sum()  # holes are filled
    for image, values in zip(images, expected, strict=True):
        np.testing.assert_allclose(full_image(image), values, atol=1e-5)


def test_images_are_those_of_nnunet_itself() -> None:
    cropping = pytest.importorskip("nnunetv2.preprocessing.cropping.cropping")
    normalization = pytest.importorskip("nnunetv2.preprocessing.normalization.default_normalization_schemes")
    resampling = pytest.importorskip("nnunetv2.preprocessing.resampling.default_resampling")
    volumes = brains()
    oriented = [volume.to_patient_orientation("LPH") for volume in volumes]
    data, mask, _ = cropping.crop_to_nonzero(np.stack([volume.array for volume in oriented]))
    scheme = normalization.ZScoreNormalization(use_mask_for_norm=True, intensityproperties={})
    scaled = np.stack([scheme.run(channel, mask[0]) for channel in data])
    own_mm = oriented[0].spacing
    shape = resampling.compute_new_shape(scaled.shape[1:], own_mm, SPACING_MM)
    expected = resampling.resample_data_or_seg_to_shape(
        scaled, shape, own_mm, SPACING_MM, order=3, force_separate_z=None
    )

    images, _ = make_images(volumes, ModelSpec.model_validate(section(grid=GRID | {"separate_axis_above": 3})))

    np.testing.assert_allclose(np.stack([full_image(image) for image in images]), expected, atol=1e-5)


def test_the_crop_of_the_first_input_is_smaller() -> None:
    volumes = brains()

    _, first = make_images(volumes, ModelSpec.model_validate(section(crop=CROP | {"inputs": "first"})))
    _, both = make_images(volumes, ModelSpec.model_validate(section()))

    assert first.source_box == (slice(2, 9), slice(3, 12), slice(4, 15))
    assert both.source_box == (slice(2, 10), slice(1, 12), slice(4, 15))


@pytest.mark.parametrize("values", ["source", "scaled"])
def test_a_crop_on_the_model_grid_takes_all_inputs(values: str) -> None:
    volumes = brains()
    inputs = [mr(name, scale_before_resampling=values == "scaled") for name in ("T1", "T2")]
    crop = {"voxels": "nonzero", "values": values, "grid": "model", "inputs": "any"}
    grid = GRID | {"image_order": 1}

    images, cropped = make_images(volumes, ModelSpec.model_validate(section(inputs=inputs, crop=crop, grid=grid)))

    without, _ = make_images(volumes, ModelSpec.model_validate(section(inputs=inputs, crop=None, grid=grid)))
    chosen = np.any([full_image(image) != 0 for image in without], axis=0)
    (box,) = ndimage.find_objects(chosen.astype(int))
    assert cropped.box == box
    assert images[0].shape == chosen[box].shape


def test_z_scores_on_the_model_grid_are_those_of_its_foreground() -> None:
    volumes = brains()
    inputs = [mr(name, scale_before_resampling=False) for name in ("T1", "T2")]
    spec = ModelSpec.model_validate(section(inputs=inputs, crop=None))
    identity = {"kind": "range", "a_min": 0, "a_max": 1, "clip": False}
    unscaled = [mr(name, scale_before_resampling=False, scaling=identity) for name in ("T1", "T2")]

    images, _ = make_images(volumes, spec)

    raw = [
        full_image(im) for im in make_images(volumes, ModelSpec.model_validate(section(inputs=unscaled, crop=None)))[0]
    ]
    mask = ndimage.binary_fill_holes((np.stack(raw) != 0).any(axis=0))
    for image, values in zip(images, raw, strict=True):
        inside = values[mask].astype(float)
        expected = np.where(mask, (values - inside.mean()) / inside.std(), values)
        np.testing.assert_allclose(full_image(image), expected, atol=1e-4)
    device = FakeDevice()
    with device.activate():
        on_device = device.get(images[0].to_device(device).crop(full_box(images[0].shape)))
    assert on_device.tobytes() == full_image(images[0]).tobytes()


def test_an_input_on_another_grid_is_brought_to_that_of_the_first() -> None:
    """As the user of nnU-Net must do before."""
    first, second = brains()
    x, y, z = second.map_indices_to_reference(np.indices(SHAPE).reshape(3, -1).T).T.reshape(3, *SHAPE)
    ramp = second.with_array((500 + 2 * x - 3 * y + z).astype(np.float32))
    corner = (slice(1, 11), slice(0, 14), slice(2, 17))
    finer = phantoms.oblique_geometry((23, 29, 35), pixel_spacing=(0.85, 0.45), slice_spacing=1.55)
    fx, fy, fz = finer.map_indices_to_reference(np.indices(finer.spatial_shape).reshape(3, -1).T).T
    other = finer.with_array((500 + 2 * fx - 3 * fy + fz).astype(np.float32).reshape(finer.spatial_shape))
    first = first.with_array(np.ones(SHAPE, np.float32))
    first.array[corner] = 5
    spec = ModelSpec.model_validate(section(crop=None))

    (_, image), _ = make_images([first, other], spec)

    (_, expected), _ = make_images([first, ramp], spec)
    np.testing.assert_allclose(full_image(image), full_image(expected), atol=1e-4)


def test_inputs_without_foreground_are_one_error() -> None:
    empty = [volume.with_array(np.zeros(SHAPE, np.float32)) for volume in brains()]

    with pytest.raises(InputError, match="the 2 series have no voxel other than 0"):
        make_images(empty, ModelSpec.model_validate(section()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [mr("T1", scaling=ZSCORE | {"nonzero": True})]}, "only one of nonzero and foreground"),
        ({"inputs": [mr("T1"), mr("T2", scale_before_resampling=False)]}, "the same scale_before_resampling"),
        ({"crop": CROP | {"inputs": "all"}}, "inputs"),
    ],
)
def test_contradictions_are_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSpec.model_validate(section(**changes))


def test_defaults_are_not_written() -> None:
    spec = ModelSpec.model_validate(
        section(inputs=[mr("T1", scaling={"kind": "zscore"})], crop={k: v for k, v in CROP.items() if k != "inputs"})
    )

    written = spec.model_dump(mode="json")

    assert written["inputs"][0]["scaling"] == {"kind": "zscore", "nonzero": False}
    assert "inputs" not in written["crop"]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> SeriesVolume:
    return phantoms.read(phantoms.write(tmp_path_factory.mktemp("series"), brains()[0], "MR"))


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    weights = [[0, 0, 0], [3, 9, -9]]
    description = model_description(inputs=[mr("T1")], grid=GRID, crop=CROP)
    return load_package(phantoms.write_linear_model(tmp_path_factory.mktemp("clicked"), description, weights, [0, -1]))


@pytest.mark.parametrize("interpolation", ["logits", "probabilities", "labels"])
@pytest.mark.parametrize(
    ("grid", "crop", "before"),
    [
        ({}, CROP, True),
        ({"image_order": 1}, None, False),
        ({"separate_axis_above": 2}, CROP, True),
        ({"separate_axis_above": 2}, CROP | {"grid": "model", "values": "scaled"}, False),
    ],
    ids=str,
)
def test_a_session_has_the_bytes_of_a_full_run(
    series: SeriesVolume, clicked: ModelPackage, grid: dict, crop: dict | None, before: bool, interpolation: str
) -> None:
    changes = {
        "grid": GRID | grid,
        "crop": crop,
        "inputs": [mr("T1", scale_before_resampling=before)],
        "interpolation": interpolation,
    }
    spec = ModelSpec.model_validate(clicked.spec.model_dump(mode="json") | changes)
    package = replace(clicked, spec=spec)
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with Session(series, package, engine=engine) as session:
        for fractions in ((0.3, 0.4, 0.5), (0.6, 0.6, 0.7), (0.45, 0.5, 0.55)):
            session.add_click(click_at(series, *fractions))
        session.undo()
        result = session.result()

        full = segment_series([series], Clicks(session.clicks), package, engine)

    assert result.labels.array.any()
    assert result.labels.array.tobytes() == full.labels.array.tobytes()
