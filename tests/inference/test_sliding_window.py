"""The blended logits and the labels equal those of MONAI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.special import expit, softmax

from clickseg.core.errors import EngineError
from clickseg.core.progress import no_progress
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.kernels import NumpyKernels
from clickseg.inference.model_input import InMemoryImage, ModelInput
from clickseg.inference.resample import model_geometry
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import collect_volume
from clickseg.models.package import ModelPackage
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import FakeNetwork, label_map_from_logits
from tests.helpers.networks import make_exported_package
from tests.helpers.oracles import SlidingWindowInferer, torch

SPEC = ModelSpec.model_validate(phantoms.metadata())
THREE_CHANNELS = ModelSpec.model_validate(phantoms.metadata(output_channels=3))
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


def make_input(images: np.ndarray, *balls: np.ndarray) -> ModelInput:
    """Makes the input of a network from image channels [C, I, J, K] and click voxels."""
    return ModelInput(tuple(InMemoryImage(image) for image in images), balls)


def blend(inputs: ModelInput, engine: Engine, spec: ModelSpec) -> np.ndarray:
    """Returns the blended logits of a volume."""
    window = SlidingWindow(inputs, spec)
    return collect_volume(window.blended_planes(engine, NumpyKernels(), no_progress), window.grid.axis)


def make_package(folder: Path, activation: str) -> ModelPackage:
    """Makes a package of a DynUNet with random weights, for torch and OpenVINO."""
    first = 1 if activation == "softmax" else 0
    section = phantoms.metadata(
        window={"roi": [16, 24, 16], "overlap": 0.4},
        grid={"spacing_mm": [1.0, 1.0, 1.0], "orientation": "RAS"},
        activation=activation,
        output_channels=CLASSES,
        classes=[phantoms.organ(f"c{channel}", channel) for channel in range(first, CLASSES)],
        guidance=phantoms.GUIDANCE | {"channels": [{"takes": [["c1", polarity]]} for polarity in POLARITIES]},
    )
    return make_exported_package(folder, NETWORK, section)


@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.OPENVINO])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("shape", [(33, 47, 29), (12, 60, 16)], ids=["larger", "smaller than the window"])
def test_labels_equal_those_of_monai_sliding_window_inferer(
    tmp_path: Path, runtime: Runtime, activation: str, shape: tuple[int, int, int]
) -> None:
    package = make_package(tmp_path / "dynunet", activation)
    spec = package.spec
    rng = np.random.default_rng(7)
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    clicked = tuple(rng.integers(0, shape, size=(40, 3)) for _ in POLARITIES)
    engine = make_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32))
    network = make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))._network
    inferer = SlidingWindowInferer(spec.window.roi, sw_batch_size=2, overlap=spec.window.overlap, mode="gaussian")

    logits = blend(make_input(image, *clicked), engine, spec)

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


@pytest.mark.parametrize("mode", ["gaussian", "constant"])
@pytest.mark.parametrize("padding_mode", ["constant", "replicate"])
@pytest.mark.parametrize("shape", [(11, 9, 14), (5, 20, 6)], ids=["larger", "smaller than a window"])
def test_weights_and_padding_are_those_of_monai(mode: str, padding_mode: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(2)
    window = {"roi": [8, 8, 8], "overlap": 0.4, "mode": mode, "padding_mode": padding_mode}
    spec = ModelSpec.model_validate(phantoms.metadata(window=window, output_channels=3))
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    kernel = torch.from_numpy(rng.normal(size=(3, 1, 3, 3, 3)).astype(np.float32))

    def network(windows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv3d(windows, kernel, padding=1)

    logits = blend(make_input(image), FakeNetwork(lambda batch: network(torch.from_numpy(batch)).numpy()), spec)

    inferer = SlidingWindowInferer((8, 8, 8), overlap=0.4, mode=mode, padding_mode=padding_mode)
    expected = inferer(torch.from_numpy(image)[None], network)[0].numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_each_window_is_run_once_in_full_batches_with_progress(size: int) -> None:
    engine, progress = FakeNetwork(lambda batch: batch[:, [0, 0, 1]] * 2, size), []
    images = np.random.default_rng(1).normal(size=(2, 20, 9, 11)).astype(np.float32)
    window = SlidingWindow(make_input(images), THREE_CHANNELS)

    logits = collect_volume(
        window.blended_planes(engine, NumpyKernels(), lambda done, n: progress.append((done, n))), window.grid.axis
    )

    assert progress == [(done + 1, 16) for done in range(16)]
    assert engine.calls == 4 * -(-4 // size)  # four layers of four windows
    assert window.windows_reused == 0
    np.testing.assert_allclose(logits[0], images[0] * 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits[2], images[1] * 2, rtol=1e-5, atol=1e-6)


def test_a_second_run_gives_the_same_bytes() -> None:
    images = np.random.default_rng(1).normal(size=(2, 30, 9, 11)).astype(np.float32)
    engine, window = FakeNetwork(lambda batch: batch[:, [0, 0, 1]]), SlidingWindow(make_input(images), THREE_CHANNELS)

    first, again = (
        collect_volume(window.blended_planes(engine, NumpyKernels(), no_progress), window.grid.axis) for _ in range(2)
    )

    assert first.tobytes() == again.tobytes()


def test_constant_windows_do_not_reuse_the_output_of_another_network() -> None:
    window = SlidingWindow(make_input(np.zeros((1, 30, 9, 11), np.float32)), THREE_CHANNELS)
    engines = [FakeNetwork(lambda batch, n=n: np.full_like(batch[:, [0, 0, 0]], n)) for n in (1, 2)]

    results = [collect_volume(window.blended_planes(e, NumpyKernels(), no_progress), window.grid.axis) for e in engines]

    np.testing.assert_allclose([logits[0] for logits in results], [np.full((30, 9, 11), n) for n in (1, 2)], rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_windows_with_the_same_constants_are_run_once(size: int) -> None:
    rng = np.random.default_rng(3)
    images = np.zeros((2, 40, 12, 12), np.float32)
    images[:, 16:24] = rng.normal(size=(2, 8, 12, 12))
    images[:, 28:] = 5
    engine = FakeNetwork(lambda batch: np.concatenate([batch, batch[:, :1] * batch[:, 1:]], axis=1), size)
    window = SlidingWindow(make_input(images), THREE_CHANNELS)

    logits = collect_volume(window.blended_planes(engine, NumpyKernels(), no_progress), window.grid.axis)

    assert window.windows_reused > 8
    assert engine.calls < len(window.grid) / size
    np.testing.assert_allclose(logits[2], images[0] * images[1], rtol=1e-5, atol=1e-5)


def test_a_click_in_a_constant_window_changes_the_result() -> None:
    engine = FakeNetwork(lambda batch: batch[:, [0, 1, 1]])
    images = np.zeros((1, 40, 12, 12), np.float32)
    window = SlidingWindow(make_input(images, np.array([[30, 3, 3]])), THREE_CHANNELS)

    logits = collect_volume(window.blended_planes(engine, NumpyKernels(), no_progress), window.grid.axis)

    assert np.argwhere(logits[1] > 0.5).tolist() == [[30, 3, 3]]


def test_for_two_softmax_channels_the_difference_is_blended() -> None:
    images = np.random.default_rng(1).normal(size=(2, 9, 9, 9)).astype(np.float32)

    logits = blend(make_input(images), FakeNetwork(lambda batch: batch), SPEC)

    assert logits.shape == (1, 9, 9, 9)
    np.testing.assert_allclose(logits[0], images[1] - images[0], rtol=1e-4, atol=1e-5)


def test_voxels_outside_the_volume_are_zero_after_scaling() -> None:
    engine = FakeNetwork(lambda batch: np.full_like(batch[:, [0, 0, 0]], (batch != 0).sum()))

    logits = blend(make_input(np.ones((1, 3, 4, 5), np.float32)), engine, THREE_CHANNELS)

    np.testing.assert_allclose(logits, 60, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_network_that_overflows_raises_an_error(value: float) -> None:
    def overflowing(batch: np.ndarray) -> np.ndarray:
        logits = np.zeros((1, 2, *batch.shape[2:]), np.float32)
        logits[0, 1, 2, 3, 4] = value
        return logits

    images = np.random.default_rng(1).normal(size=(1, 9, 9, 9)).astype(np.float32)
    with pytest.raises(EngineError, match="not finite numbers") as error_info:
        blend(make_input(images), FakeNetwork(overflowing), SPEC)
    assert "f32" in (error_info.value.hint or "")


@pytest.mark.parametrize("orientation", ["RAS", "SPL", "AIR"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("interpolation", ["logits", "probabilities", "labels"])
def test_labels_on_the_source_grid_equal_those_of_naive_interpolation(
    activation: str, orientation: str, interpolation: str
) -> None:
    first = 1 if activation == "softmax" else 0
    names = {0: "a", 1: "b", 2: "c"}
    section = phantoms.metadata(
        activation=activation,
        output_channels=4,
        grid={"spacing_mm": [1.3, 2.1, 1.7], "orientation": orientation},
        classes=[phantoms.organ(names[n], 3 - n) for n in range(3) if 3 - n >= first],
        interpolation=interpolation,
    )
    spec = ModelSpec.model_validate(section)
    source = phantoms.oblique_geometry((17, 11, 13))
    model_grid = model_geometry(source, spec.grid)
    logits = np.random.default_rng(2).normal(size=(4, *model_grid.spatial_shape)).astype(np.float32)

    labels = label_map_from_logits(logits, model_grid, source, spec)

    voxels = np.indices(source.spatial_shape).reshape(3, -1).T
    coordinates = model_grid.map_reference_to_indices(source.map_indices_to_reference(voxels)).T
    scores, threshold = logits, 0.0
    if interpolation == "probabilities":
        values = logits.astype(np.float64)
        scores, threshold = (softmax(values, axis=0) if activation == "softmax" else expit(values)), 0.5
    order = 0 if interpolation == "labels" else 1
    naive = np.stack([map_coordinates(channel, coordinates, order=order, mode="nearest") for channel in scores])
    ordered = np.sort(naive, axis=0)
    clear = (ordered[-1] - ordered[-2] > 1e-4).reshape(source.spatial_shape)
    for number, class_spec in enumerate(spec.classes, 1):
        chosen = (
            naive.argmax(0) == class_spec.channel if activation == "softmax" else naive[class_spec.channel] > threshold
        )
        expected = chosen.reshape(source.spatial_shape)
        sure = (
            clear
            if activation == "softmax"
            else np.abs(naive[class_spec.channel] - threshold).reshape(source.spatial_shape) > 1e-4
        )
        np.testing.assert_array_equal(labels.mask(number)[sure], expected[sure])


@pytest.mark.parametrize("interpolation", ["logits", "probabilities", "labels"])
def test_with_overwrite_a_voxel_has_the_last_class_above_one_half_in_the_order_of_the_classes(
    interpolation: str,
) -> None:
    section = phantoms.metadata(
        activation="sigmoid",
        overwrite=True,
        output_channels=4,
        grid={"spacing_mm": [1.3, 2.1, 1.7], "orientation": "PIR"},
        classes=[phantoms.organ("a", 3), phantoms.organ("b", 1), phantoms.organ("c", 2)],
        interpolation=interpolation,
    )
    spec = ModelSpec.model_validate(section)
    source = phantoms.oblique_geometry((17, 11, 13))
    model_grid = model_geometry(source, spec.grid)
    logits = np.random.default_rng(5).normal(size=(4, *model_grid.spatial_shape)).astype(np.float32)

    labels = label_map_from_logits(logits, model_grid, source, spec)

    voxels = np.indices(source.spatial_shape).reshape(3, -1).T
    coordinates = model_grid.map_reference_to_indices(source.map_indices_to_reference(voxels)).T
    scores = expit(logits.astype(np.float64)) - 0.5 if interpolation == "probabilities" else logits
    order = 0 if interpolation == "labels" else 1
    a, b, c = (map_coordinates(scores[n], coordinates, order=order, mode="nearest") for n in (3, 1, 2))
    expected = np.select([c > 0, b > 0, a > 0], [3, 2, 1], 0).reshape(source.spatial_shape)
    sure = np.min(np.abs([a, b, c]), axis=0).reshape(source.spatial_shape) > 1e-4
    assert not labels.is_overlapping
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(labels.array[sure], expected[sure])


@pytest.mark.parametrize("interpolation", ["logits", "probabilities", "labels"])
def test_of_several_heads_a_voxel_has_the_class_of_the_last_that_is_not_background(interpolation: str) -> None:
    section = phantoms.metadata(
        activation="softmax",
        heads=[3, 2],
        output_channels=5,
        grid={"spacing_mm": [1.3, 2.1, 1.7], "orientation": "PIR"},
        classes=[phantoms.organ("a", 2), phantoms.organ("b", 4), phantoms.organ("c", 1)],
        interpolation=interpolation,
    )
    spec = ModelSpec.model_validate(section)
    source = phantoms.oblique_geometry((17, 11, 13))
    model_grid = model_geometry(source, spec.grid)
    logits = np.random.default_rng(5).normal(size=(5, *model_grid.spatial_shape)).astype(np.float32)

    labels = label_map_from_logits(logits, model_grid, source, spec)

    voxels = np.indices(source.spatial_shape).reshape(3, -1).T
    coordinates = model_grid.map_reference_to_indices(source.map_indices_to_reference(voxels)).T
    scores = logits.astype(np.float64)
    if interpolation == "probabilities":
        scores = np.concatenate([softmax(scores[:3], axis=0), softmax(scores[3:], axis=0)])
    order = 0 if interpolation == "labels" else 1
    values = np.stack([map_coordinates(channel, coordinates, order=order, mode="nearest") for channel in scores])
    first, second = values[:3].argmax(axis=0), values[3:].argmax(axis=0)
    expected = np.where(second == 1, 2, np.select([first == 1, first == 2], [3, 1], 0))
    ordered = np.sort(values[:3], axis=0)
    sure = (np.abs(values[4] - values[3]) > 1e-4) & (ordered[2] - ordered[1] > 1e-4)
    assert not labels.is_overlapping
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(labels.array.ravel()[sure], expected[sure])


@pytest.mark.parametrize(("activation", "channels"), [("softmax", 2), ("softmax", 4), ("sigmoid", 3)])
def test_where_two_classes_meet_probabilities_and_logits_differ(activation: str, channels: int) -> None:
    """One voxel is surely foreground, its neighbour weakly background: the border is nearer to one of them."""
    first = 1 if activation == "softmax" else 0
    section = phantoms.metadata(
        activation=activation,
        output_channels=channels,
        grid={"spacing_mm": [4.0, 1.0, 1.0], "orientation": "LPI"},
        classes=[phantoms.organ(f"c{channel}", channel) for channel in range(first, channels)],
    )
    source = phantoms.oblique_geometry((1, 1, 5), axes=np.eye(3), pixel_spacing=(1.0, 1.0), slice_spacing=1.0)
    logits = np.zeros((channels, 2, 1, 1), np.float32)
    logits[0, :, 0, 0] = (-9, 1) if activation == "softmax" else (9, -1)
    results = []
    for interpolation in ("logits", "probabilities", "labels"):
        spec = ModelSpec.model_validate(section | {"interpolation": interpolation})
        labels = label_map_from_logits(logits, model_geometry(source, spec.grid), source, spec)
        results.append(int(labels.mask(1).sum()))

    # By hand, for a sigmoid at the five voxels: logits 9, 6.5, 4, 1.5, -1; probabilities 1, 0.82, 0.63, 0.45, 0.27.
    # The voxel halfway between the two takes the label of the first.
    assert results == [4, 3, 3]


def test_ties_are_assigned_to_the_first_channel() -> None:
    spec = ModelSpec.model_validate(phantoms.metadata())
    source = phantoms.oblique_geometry()
    grid = model_geometry(source, spec.grid)

    labels = label_map_from_logits(np.zeros((2, *grid.spatial_shape), np.float32), grid, source, spec)

    assert labels.present_classes() == ()
