"""Several steps of scaling, on the model grid or before, equal the transforms of MONAI."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from monai.transforms import GaussianSmooth, NormalizeIntensity, ScaleIntensity, ScaleIntensityRange

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import full_box, replace_axis_range
from clickseg.core.errors import ModelError
from clickseg.inference.model_input import InMemoryImage
from clickseg.inference.preprocess import make_case, make_images, preprocess
from clickseg.inference.smoothing import SmoothedImage
from clickseg.models.package import load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms, runs

MIN_MAX = {"kind": "percentile", "lower": 0, "upper": 100, "b_min": -1, "b_max": 1}


def scale(values: np.ndarray, steps: object, **changes: object) -> np.ndarray:
    """Returns the scaled values of a volume whose grid is the model grid."""
    image = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": steps, **changes}
    grid = {"spacing_mm": [0.9, 1.7, 3.1], "orientation": "LPI"}
    spec = ModelSpec.model_validate(phantoms.metadata(inputs=[image], grid=grid))
    volume = phantoms.oblique_geometry(values.shape, axes=np.eye(3)).with_array(values)
    (grid_image,), _ = make_images([volume], spec)
    return grid_image.crop(full_box(grid_image.shape)).T


@pytest.mark.parametrize("before", [False, True])
def test_steps_are_applied_in_order(before: bool) -> None:
    """As MONAI Label's and the zoo's whole-body models: z-scores of nonzero voxels, then -1 to 1."""
    values = np.random.default_rng(0).normal(50, 20, (9, 8, 7)).astype(np.float32)
    values[:2] = 0

    scaled = scale(values, [{"kind": "zscore", "nonzero": True}, MIN_MAX], scale_before_resampling=before)

    normalized = NormalizeIntensity(nonzero=True)(torch.from_numpy(values)[None])
    expected = ScaleIntensity(minv=-1, maxv=1)(normalized)[0].numpy()
    np.testing.assert_allclose(scaled, expected, atol=1e-6)


def test_sigmoid_and_tanh_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(0, 3, (4, 5, 6)).astype(np.float32)

    np.testing.assert_allclose(scale(values, {"kind": "sigmoid"}), 1 / (1 + np.exp(-values)), rtol=1e-6)
    np.testing.assert_allclose(scale(values, {"kind": "tanh", "factor": 3}), 3 * np.tanh(values / 3), rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.2, 0.4, 1.3])
def test_smoothing_is_that_of_monai_in_each_part_of_the_volume(sigma: float) -> None:
    values = np.random.default_rng(0).normal(size=(13, 9, 5)).astype(np.float32)
    image = SmoothedImage(InMemoryImage(values), sigma)

    smoothed = image.crop(full_box(image.shape))

    expected = GaussianSmooth(sigma=sigma)(torch.from_numpy(values)[None])[0].numpy()
    np.testing.assert_allclose(smoothed, expected, atol=1e-6)
    for axis in range(3):
        box = replace_axis_range(full_box(image.shape), axis, slice(1, 4))
        assert image.crop(box).tobytes() == np.ascontiguousarray(smoothed[box]).tobytes()


def test_scaling_before_resampling_differs_from_scaling_afterwards_at_edges(tmp_path) -> None:
    series = phantoms.read(runs.write_input(tmp_path / "in") / "CT")
    clipped = {"kind": "range", "a_min": -100, "a_max": 100}
    images = []
    for before in (False, True):
        image = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": clipped, "scale_before_resampling": before}
        section = phantoms.metadata(inputs=[image])
        package = load_package(phantoms.write_package(tmp_path / str(before), section))
        inputs = preprocess(make_case([series], Clicks(), package)).inputs
        images.append(inputs.crop_images(full_box(inputs.shape)))

    assert np.abs(images[0] - images[1]).max() > 0.1
    assert images[0].mean() == pytest.approx(images[1].mean(), abs=0.05)


def test_scaling_before_resampling_needs_no_more_memory_than_the_result_and_some_planes() -> None:
    values = np.random.default_rng(0).normal(50, 80, (320, 40, 40)).astype(np.float32)
    image = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": {"kind": "zscore"}}
    spec = ModelSpec.model_validate(phantoms.metadata(inputs=[image | {"scale_before_resampling": True}]))
    volume = phantoms.oblique_geometry(values.shape).with_array(values)
    make_images([volume], spec)  # imports

    tracemalloc.start()
    make_images([volume], spec)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 1.6 * values.nbytes


def test_each_further_scaling_is_a_channel_with_the_same_image() -> None:
    values = np.random.default_rng(0).normal(50, 80, (9, 8, 7)).astype(np.float32)
    windows = [(-160, 240), (-1000, 400), (20, 60)]
    scalings = [{"kind": "range", "a_min": low, "a_max": high} for low, high in windows]
    ct = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": scalings[0], "further_scalings": scalings[1:]}
    mask = {"name": "other", "modality": "CT", "unit": "HU", "scaling": MIN_MAX}
    spec = ModelSpec.model_validate(
        phantoms.metadata(inputs=[ct, mask], grid={"spacing_mm": [0.9, 1.7, 3.1], "orientation": "LPI"})
    )
    volume = phantoms.oblique_geometry(values.shape, axes=np.eye(3)).with_array(values)

    images, _ = make_images([volume, volume.with_array(values[::-1].copy())], spec)

    assert len(images) == spec.image_channels == spec.input_channels == 4
    for image, (low, high) in zip(images, windows, strict=False):
        expected = ScaleIntensityRange(low, high, 0, 1, clip=True)(torch.from_numpy(values)).numpy()
        np.testing.assert_allclose(image.crop(full_box(image.shape)).T, expected, atol=1e-6)
    others = ScaleIntensity(minv=-1, maxv=1)(torch.from_numpy(values[::-1].copy())).numpy()
    np.testing.assert_allclose(images[3].crop(full_box(images[3].shape)).T, others, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"further_scalings": [MIN_MAX], "scale_before_resampling": True}, "expected no alternatives"),
        ({"further_scalings": [{"kind": "zscore", "foreground": True}]}, "expected no zscore with foreground"),
        ({"further_scalings": [{"kind": "magic"}]}, "magic"),
        ({"scaling": []}, "scaling"),
        ({"scaling": [{"kind": "magic"}]}, "magic"),
        ({"scaling": {"kind": "gaussian", "sigma_vox": 1}, "scale_before_resampling": True}, "on the model grid"),
        ({"scaling": {"kind": "tanh", "factor": 0}}, "greater than 0"),
    ],
)
def test_invalid_steps_are_one_error(tmp_path, changes: dict[str, object], message: str) -> None:
    image = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": phantoms.RANGE} | changes

    with pytest.raises(ModelError, match=message):
        load_package(phantoms.write_package(tmp_path / "package", phantoms.metadata(inputs=[image])))
