"""The blended logits are MONAI's, and so are the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from clickseg.core.errors import EngineError
from clickseg.core.progress import no_progress
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.kernels import PlainKernels
from clickseg.inference.model_input import ModelInput, Whole
from clickseg.inference.resample import model_geometry
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import collected
from clickseg.models.package import ModelPackage
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import FakeNetwork, label_map_from_logits
from tests.helpers.networks import exported
from tests.helpers.oracles import SlidingWindowInferer, torch

SPEC = ModelSpec.model_validate(phantoms.metadata())
THREE = ModelSpec.model_validate(phantoms.metadata(output_channels=3))
CLASSES = 4
POLARITIES = ("foreground", "background")
NETWORK = {
    "_target_": "monai.networks.nets.DynUNet",
    "spatial_dims": 3,
    "in_channels": 3,
    "out_channels": CLASSES,
    "kernel_size": [3, 3, 3],
    "strides": [1, 2, 2],
    "upsample_kernel_size": [2, 2],
    "filters": [8, 12, 16],
    "norm_name": "instance",
}


def given(images: np.ndarray, *balls: np.ndarray) -> ModelInput:
    """Image channels [C, I, J, K] and balls, as a network's input."""
    return ModelInput(tuple(Whole(image) for image in images), balls)


def blended(inputs: ModelInput, engine: Engine, spec: ModelSpec) -> np.ndarray:
    """The blended logits of a volume."""
    window = SlidingWindow(inputs, spec)
    return collected(window.planes(engine, PlainKernels(), no_progress), window.grid.axis)


def model(folder: Path, activation: str) -> ModelPackage:
    """A DynUNet with random weights, for torch and OpenVINO."""
    first = 1 if activation == "softmax" else 0
    section = phantoms.metadata(
        window={"roi": [16, 24, 16], "overlap": 0.4},
        grid={"spacing_mm": [1.0, 1.0, 1.0], "orientation": "RAS"},
        activation=activation,
        output_channels=CLASSES,
        classes=[phantoms.organ(f"c{channel}", channel) for channel in range(first, CLASSES)],
        guidance=phantoms.GUIDANCE | {"channels": [{"takes": [["c1", polarity]]} for polarity in POLARITIES]},
    )
    return exported(folder, NETWORK, section)


@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.OPENVINO])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("shape", [(33, 47, 29), (12, 60, 16)], ids=["larger", "smaller than the window"])
def test_labels_are_those_of_monais_sliding_window_inferer(
    tmp_path: Path, runtime: Runtime, activation: str, shape: tuple[int, int, int]
) -> None:
    made = model(tmp_path / "dynunet", activation)
    spec = made.spec
    rng = np.random.default_rng(7)
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    clicked = tuple(rng.integers(0, shape, size=(40, 3)) for _ in POLARITIES)
    engine = make_engine(made, RuntimeSettings(runtime, "cpu", Precision.F32))
    network = make_engine(made, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))._network
    inferer = SlidingWindowInferer(spec.window.roi, sw_batch_size=2, overlap=spec.window.overlap, mode="gaussian")

    logits = blended(given(image, *clicked), engine, spec)

    channels = np.concatenate([image, np.zeros((2, *shape), np.float32)])
    for channel, voxels in zip(channels[1:], clicked, strict=True):
        channel[tuple(voxels.T)] = 1
    with torch.inference_mode():
        reference = inferer(torch.from_numpy(channels)[None], network)[0].numpy()
    np.testing.assert_allclose(logits, reference, atol=2e-3)
    if activation == "softmax":
        ours, theirs = logits.argmax(0), reference.argmax(0)
        ordered = np.sort(reference, axis=0)
        margin = ordered[-1] - ordered[-2]
    else:
        ours, theirs = logits > 0, reference > 0
        margin = np.abs(reference)
    differs = ours != theirs
    assert differs.mean() <= 1e-4
    assert margin[differs].max(initial=0) < 1e-3


@pytest.mark.parametrize("size", [1, 3, 4])
def test_each_window_is_run_once_in_whole_batches_and_progress_is_told(size: int) -> None:
    engine, told = FakeNetwork(lambda batch: batch[:, [0, 0, 1]] * 2, size), []
    images = np.random.default_rng(1).normal(size=(2, 20, 9, 11)).astype(np.float32)
    window = SlidingWindow(given(images), THREE)

    logits = collected(window.planes(engine, PlainKernels(), lambda done, n: told.append((done, n))), window.grid.axis)

    assert told == [(done + 1, 16) for done in range(16)]
    assert engine.calls == 4 * -(-4 // size)  # four layers of four windows
    assert window.repeated == 0
    np.testing.assert_allclose(logits[0], images[0] * 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits[2], images[1] * 2, rtol=1e-5, atol=1e-6)


def test_it_can_be_run_again() -> None:
    images = np.random.default_rng(1).normal(size=(2, 30, 9, 11)).astype(np.float32)
    engine, window = FakeNetwork(lambda batch: batch[:, [0, 0, 1]]), SlidingWindow(given(images), THREE)

    first, again = (collected(window.planes(engine, PlainKernels(), no_progress), window.grid.axis) for _ in range(2))

    assert first.tobytes() == again.tobytes()


def test_what_one_network_said_of_air_is_not_taken_for_what_another_says() -> None:
    window = SlidingWindow(given(np.zeros((1, 30, 9, 11), np.float32)), THREE)
    engines = [FakeNetwork(lambda batch, n=n: np.full_like(batch[:, [0, 0, 0]], n)) for n in (1, 2)]

    found = [collected(window.planes(e, PlainKernels(), no_progress), window.grid.axis) for e in engines]

    np.testing.assert_allclose([each[0] for each in found], [np.full((30, 9, 11), n) for n in (1, 2)], rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_windows_of_the_same_constants_are_run_once(size: int) -> None:
    rng = np.random.default_rng(3)
    images = np.zeros((2, 40, 12, 12), np.float32)
    images[:, 16:24] = rng.normal(size=(2, 8, 12, 12))
    images[:, 28:] = 5
    engine = FakeNetwork(lambda batch: np.concatenate([batch, batch[:, :1] * batch[:, 1:]], axis=1), size)
    window = SlidingWindow(given(images), THREE)

    found = collected(window.planes(engine, PlainKernels(), no_progress), window.grid.axis)

    assert window.repeated > 8
    assert engine.calls < len(window.grid) / size
    np.testing.assert_allclose(found[2], images[0] * images[1], rtol=1e-5, atol=1e-5)


def test_a_click_in_air_is_seen() -> None:
    engine = FakeNetwork(lambda batch: batch[:, [0, 1, 1]])
    images = np.zeros((1, 40, 12, 12), np.float32)
    window = SlidingWindow(given(images, np.array([[30, 3, 3]])), THREE)

    found = collected(window.planes(engine, PlainKernels(), no_progress), window.grid.axis)

    assert np.argwhere(found[1] > 0.5).tolist() == [[30, 3, 3]]


def test_of_two_logits_that_exclude_each_other_the_difference_is_blended() -> None:
    images = np.random.default_rng(1).normal(size=(2, 9, 9, 9)).astype(np.float32)

    logits = blended(given(images), FakeNetwork(lambda batch: batch), SPEC)

    assert logits.shape == (1, 9, 9, 9)
    np.testing.assert_allclose(logits[0], images[1] - images[0], rtol=1e-4, atol=1e-5)


def test_what_lies_outside_is_zero_after_scaling() -> None:
    engine = FakeNetwork(lambda batch: np.full_like(batch[:, [0, 0, 0]], (batch != 0).sum()))

    logits = blended(given(np.ones((1, 3, 4, 5), np.float32)), engine, THREE)

    np.testing.assert_allclose(logits, 60, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_network_that_overflows_is_an_error_and_no_empty_result(value: float) -> None:
    def overflowing(batch: np.ndarray) -> np.ndarray:
        logits = np.zeros((1, 2, *batch.shape[2:]), np.float32)
        logits[0, 1, 2, 3, 4] = value
        return logits

    images = np.random.default_rng(1).normal(size=(1, 9, 9, 9)).astype(np.float32)
    with pytest.raises(EngineError, match="no finite numbers") as caught:
        blended(given(images), FakeNetwork(overflowing), SPEC)
    assert "f32" in (caught.value.hint or "")


@pytest.mark.parametrize("orientation", ["RAS", "SPL", "AIR"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_labels_on_the_source_grid_are_those_of_a_naive_interpolation(activation: str, orientation: str) -> None:
    first = 1 if activation == "softmax" else 0
    names = {0: "a", 1: "b", 2: "c"}
    section = phantoms.metadata(
        activation=activation,
        output_channels=4,
        grid={"spacing_mm": [1.3, 2.1, 1.7], "orientation": orientation},
        classes=[phantoms.organ(names[n], 3 - n) for n in range(3) if 3 - n >= first],
    )
    spec = ModelSpec.model_validate(section)
    source = phantoms.oblique_geometry((17, 11, 13))
    model_grid = model_geometry(source, spec.grid)
    logits = np.random.default_rng(2).normal(size=(4, *model_grid.spatial_shape)).astype(np.float32)

    labels = label_map_from_logits(logits, model_grid, source, spec)

    voxels = np.indices(source.spatial_shape).reshape(3, -1).T
    places = model_grid.map_reference_to_indices(source.map_indices_to_reference(voxels)).T
    naive = np.stack([map_coordinates(each, places, order=1, mode="nearest") for each in logits])
    ordered = np.sort(naive, axis=0)
    clear = (ordered[-1] - ordered[-2] > 1e-4).reshape(source.spatial_shape)
    for number, each in enumerate(spec.classes, 1):
        chosen = naive.argmax(0) == each.channel if activation == "softmax" else naive[each.channel] > 0
        expected = chosen.reshape(source.spatial_shape)
        sure = clear if activation == "softmax" else np.abs(naive[each.channel]).reshape(source.spatial_shape) > 1e-4
        np.testing.assert_array_equal(labels.mask(number)[sure], expected[sure])


def test_the_first_of_equal_logits_wins() -> None:
    spec = ModelSpec.model_validate(phantoms.metadata())
    source = phantoms.oblique_geometry()
    grid = model_geometry(source, spec.grid)

    labels = label_map_from_logits(np.zeros((2, *grid.spatial_shape), np.float32), grid, source, spec)

    assert labels.present() == ()
