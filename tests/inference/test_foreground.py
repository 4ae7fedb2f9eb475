"""A model that sees only the foreground of a series: the labels are those of MONAI's crop and its inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from clickseg.clicks.click import Clicks
from clickseg.core.errors import ClickError, InputError
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.foreground import crop_box, crop_volumes, foreground_box
from clickseg.inference.model_input import InMemoryImage
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import CropSpec, ModelSpec
from clickseg.session.session import Session
from clickseg.training.config import read_config
from tests.helpers import phantoms
from tests.helpers.full_run import segment_series
from tests.helpers.oracles import (
    Compose,
    CopyItemsd,
    CropForeground,
    CropForegroundd,
    Invertd,
    MetaTensor,
    NormalizeIntensityd,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
    torch,
)
from tests.helpers.sessions import click_at, model_description

Activation = Callable[[torch.Tensor], torch.Tensor]
SPACING_MM = (1.43, 2.31, 1.97)
BODY = (slice(4, 13), slice(5, 15), slice(6, 22))
WEIGHTS, BIAS = [[0.0], [-3.0], [6.0]], [0.0, 1.0, -4.0]
"""Low values are a class, too: without a crop, so is everything outside the body."""
RANGE = {"kind": "range", "a_min": 0, "a_max": 400}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> SeriesVolume:
    """Smooth structures in a box of an oblique series; below 0 outside."""
    geometry = phantoms.oblique_geometry((17, 19, 26))
    noise = gaussian_filter(np.random.default_rng(4).normal(size=geometry.spatial_shape), 1.2)
    array = np.full(geometry.spatial_shape, -300.0)
    array[BODY] = 250 + 900 * noise[BODY]
    array[5:7, 6:9, 8:12] = -40  # holes stay in the box
    volume = geometry.with_array(np.round(array).astype(np.float32))
    return phantoms.read(phantoms.write(tmp_path_factory.mktemp("series"), volume))


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A model that segments low and high scaled values."""
    section = phantoms.metadata(
        grid={"spacing_mm": SPACING_MM, "orientation": "RAS"},
        output_channels=3,
        classes=[phantoms.organ("low", 1), phantoms.organ("high", 2)],
    )
    return load_package(phantoms.write_linear_model(tmp_path_factory.mktemp("model"), section, WEIGHTS, BIAS))


@pytest.fixture(scope="module")
def engine(linear: ModelPackage) -> Engine:
    return make_engine(linear, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))


def with_changes(
    package: ModelPackage, scaling: dict = RANGE, *, before: bool = False, **changes: object
) -> ModelPackage:
    """Returns the same network with other fields of its specification."""
    ct = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": scaling, "scale_before_resampling": before}
    section = package.spec.model_dump(mode="json") | {"inputs": [ct]} | changes
    return replace(package, spec=ModelSpec.model_validate(section))


def segment(series: SeriesVolume, package: ModelPackage, engine: Engine) -> np.ndarray:
    return segment_series([series], Clicks(), package, engine).labels.array


def segment_with_monai(
    volume: hd.Volume, transforms: list, activate: Activation, *, nearest: bool = False
) -> np.ndarray:
    """Applies transforms, the voxelwise network, and the inverse of the transforms; returns the scores [C, K, J, I]."""
    image = MetaTensor(torch.from_numpy(volume.array.copy())[None], affine=torch.from_numpy(LPS_TO_RAS @ volume.affine))
    pipeline = Compose(transforms)
    data = pipeline({"image": image})
    logits = torch.tensor(WEIGHTS)[:, :, None, None] * data["image"][0] + torch.tensor(BIAS)[:, None, None, None]
    data["pred"] = MetaTensor(activate(logits.as_tensor()), meta=data["image"].meta)
    return Invertd("pred", pipeline, "image", nearest_interp=nearest)(data)["pred"].numpy()


def monai_transforms(crop: dict, scaling: object) -> list:
    """Returns the transforms in the order that a crop stands for."""
    select = (lambda values: values > 0) if crop["voxels"] == "positive" else (lambda values: values != 0)
    cropping = CropForegroundd(
        "image", source_key="image", select_fn=select, margin=crop.get("margin_vox", 0), allow_smaller=True
    )
    spacing = Spacingd("image", pixdim=SPACING_MM, mode="bilinear", padding_mode="border")
    order = {
        ("source", "source"): [cropping, spacing, scaling],
        ("source", "scaled"): [scaling, cropping, spacing],
        ("model", "source"): [spacing, cropping, scaling],
        ("model", "scaled"): [spacing, scaling, cropping],
    }[crop["grid"], crop["values"]]
    return [turn("image"), *order]


def turn(*keys: str) -> Orientationd:
    """Returns the transform that turns images to the axes of the model."""
    return Orientationd(keys, axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))


SOURCE = {"voxels": "positive", "values": "source", "grid": "source"}
MODEL = {"voxels": "positive", "values": "scaled", "grid": "model"}
CROPS = [
    SOURCE,
    SOURCE | {"margin_vox": 2},
    SOURCE | {"margin_vox": 100},
    SOURCE | {"values": "scaled"},
    MODEL,
    MODEL | {"margin_vox": 1},
    MODEL | {"values": "source"},
    MODEL | {"voxels": "nonzero"},
]
ACTIVATIONS: dict[str, Activation] = {
    "logits": lambda logits: logits,
    "probabilities": lambda logits: torch.softmax(logits, 0),
    "labels": lambda logits: logits.argmax(0, keepdim=True).float(),
}
SCALINGS = [
    (RANGE, ScaleIntensityRanged("image", 0, 400, 0, 1, clip=True)),
    ({"kind": "zscore", "nonzero": True}, NormalizeIntensityd("image", nonzero=True)),
]
"""The second depends on all values that it sees, and therefore on the order of scaling and crop."""


def is_scaled_before(crop: dict) -> bool:
    return crop["grid"] == "source" and crop["values"] == "scaled"


@pytest.mark.parametrize("interpolation", ACTIVATIONS)
@pytest.mark.parametrize("scaling", SCALINGS, ids=["range", "zscore"])
@pytest.mark.parametrize("crop", CROPS, ids=str)
def test_labels_are_those_of_monai(
    series: SeriesVolume, linear: ModelPackage, engine: Engine, crop: dict, scaling: tuple, interpolation: str
) -> None:
    package = with_changes(linear, scaling[0], before=is_scaled_before(crop), crop=crop, interpolation=interpolation)

    labels = segment(series, package, engine)

    transforms, nearest = monai_transforms(crop, scaling[1]), interpolation == "labels"
    scores = segment_with_monai(series.volume, transforms, ACTIVATIONS[interpolation], nearest=nearest)
    expected = scores[0] if nearest else scores.round(9).argmax(0)  # positions in MONAI have errors of 1e-16 voxels
    assert (expected == 2).sum() > 200
    assert (labels == expected).mean() >= 0.9999


def test_a_volume_that_is_scaled_before_its_crop_is_that_of_monai(
    series: SeriesVolume, linear: ModelPackage, engine: Engine
) -> None:
    crop = SOURCE | {"statistics": "volume", "margin_vox": 1}
    package = with_changes(linear, {"kind": "zscore", "nonzero": True}, before=True, crop=crop, interpolation="labels")

    labels = segment(series, package, engine)

    transforms = [
        CopyItemsd("image", names="raw"),
        NormalizeIntensityd("image", nonzero=True),
        turn("image", "raw"),
        CropForegroundd(["image", "raw"], source_key="raw", margin=1, allow_smaller=True),
        Spacingd("image", pixdim=SPACING_MM, mode="bilinear", padding_mode="border"),
    ]
    expected = segment_with_monai(series.volume, transforms, ACTIVATIONS["labels"], nearest=True)[0]
    box_only = segment(series, with_changes(package, {"kind": "zscore"}, before=True, crop=SOURCE), engine)
    assert (expected == 2).sum() > 200
    assert (labels == expected).mean() >= 0.9999
    assert (labels != box_only).any()


@pytest.mark.parametrize("crop", [SOURCE, MODEL], ids=str)
def test_overlapping_classes_are_those_of_monai(
    series: SeriesVolume, linear: ModelPackage, engine: Engine, crop: dict
) -> None:
    package = with_changes(linear, crop=crop, activation="sigmoid")

    labels = segment(series, package, engine)

    scores = segment_with_monai(series.volume, monai_transforms(crop, SCALINGS[0][1]), ACTIVATIONS["logits"])
    np.testing.assert_array_equal(labels[..., 0], (scores[1] > 0) + 2 * (scores[2] > 0))


def test_overlapping_classes_by_probabilities_end_between_the_box_and_the_outside(
    series: SeriesVolume, linear: ModelPackage, engine: Engine
) -> None:
    """MONAI interpolates probabilities with 0 outside the box; here only their distance to the box decides."""
    package = with_changes(linear, crop=MODEL, activation="sigmoid", interpolation="probabilities")

    labels = segment(series, package, engine)

    scores = segment_with_monai(series.volume, monai_transforms(MODEL, SCALINGS[0][1]), torch.sigmoid)
    expected = (scores[1] > 0.5) + 2 * (scores[2] > 0.5)
    assert (labels[..., 0] == expected).mean() >= 0.98


def test_without_the_crop_the_outside_is_labelled(series: SeriesVolume, linear: ModelPackage, engine: Engine) -> None:
    outside = np.ones(series.volume.spatial_shape, bool)
    outside[BODY] = False

    assert (segment(series, with_changes(linear), engine)[outside] == 1).mean() > 0.9
    assert not segment(series, with_changes(linear, crop=SOURCE), engine)[outside].any()


def test_a_crop_to_the_whole_series_changes_no_byte(series: SeriesVolume, linear: ModelPackage, engine: Engine) -> None:
    complete = segment(series, with_changes(linear), engine)

    for crop in (SOURCE, MODEL):
        cropped = with_changes(linear, crop=crop | {"margin_vox": 100})
        assert segment(series, cropped, engine).tobytes() == complete.tobytes()


@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.lists(st.tuples(*[st.integers(0, 39)] * 3), min_size=1, max_size=3),
    st.sampled_from([-1.0, 1.0]),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_the_box_is_the_bounding_box_that_monai_finds(
    shape: tuple[int, ...], voxels: list[tuple[int, ...]], value: float, margin: int
) -> None:
    array = np.zeros(shape, np.float32)
    array[tuple(np.transpose(voxels) % np.array(shape)[:, None])] = value
    crop = CropSpec(voxels="positive" if value > 0 else "nonzero", values="source", grid="source", margin_vox=margin)

    box = foreground_box([InMemoryImage(array)], crop)

    monai = CropForeground(select_fn=lambda values: values != 0, margin=margin, allow_smaller=True)
    starts, stops = monai.compute_bounding_box(torch.from_numpy(array)[None])
    assert [(part.start, part.stop) for part in box] == list(zip(starts.tolist(), stops.tolist(), strict=True))


def test_other_inputs_are_cropped_to_the_same_region() -> None:
    first = phantoms.hook_volume(phantoms.oblique_geometry((9, 14, 16)), inside=5)
    other = phantoms.distinct_volume(first.get_geometry())
    shifted = phantoms.distinct_volume(first.get_geometry().pad([(2, 0), (1, 1), (0, 3)]))

    (_, same, moved), box = crop_volumes([first, other, shifted], crop_box([first], CropSpec.model_validate(SOURCE)))

    assert [part.stop - part.start for part in box] == list(first[box].spatial_shape)
    np.testing.assert_array_equal(same.array, other.array[box])
    np.testing.assert_allclose(moved.affine, same.affine, atol=1e-9)
    assert moved.spatial_shape == same.spatial_shape


def test_a_series_without_foreground_is_one_error(linear: ModelPackage, tmp_path: Path) -> None:
    air = phantoms.oblique_geometry().with_array(np.full(phantoms.SHAPE, -900, np.float32))
    series = phantoms.read(phantoms.write(tmp_path / "series", air))

    for crop, message in ((SOURCE, "no voxel above 0, but"), (MODEL, "no voxel above 0 after scaling, but")):
        with pytest.raises(InputError, match=message):
            preprocess(make_case([series], Clicks(), with_changes(linear, crop=crop)))


@pytest.mark.parametrize(
    ("crop", "before", "message"),
    [
        (SOURCE | {"values": "scaled"}, False, "expected inputs with scale_before_resampling true"),
        (MODEL | {"values": "source"}, True, "expected inputs with scale_before_resampling false"),
        (SOURCE | {"statistics": "volume"}, False, "expected inputs with scale_before_resampling true"),
        (MODEL | {"statistics": "volume"}, False, "expected values source and grid source, got scaled and model"),
        (SOURCE | {"margin_vox": -1}, False, "margin_vox"),
        (SOURCE | {"voxels": "any"}, False, "voxels"),
    ],
)
def test_a_crop_that_does_not_fit_the_scaling_is_rejected(
    linear: ModelPackage, crop: dict, before: bool, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        with_changes(linear, crop=crop, before=before)


def test_a_model_without_crop_has_no_field_crop(linear: ModelPackage) -> None:
    assert "crop" not in linear.spec.model_dump(mode="json")


def test_models_with_a_crop_are_not_trained() -> None:
    with pytest.raises(InputError, match=r"model\.crop: expected no crop"):
        read_config(["pet_lesion"], ["model.crop={voxels: positive, values: source, grid: source}"])


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A model that follows its clicks."""
    weights = [[0, 0, 0], [-3, 9, -9]]
    section = model_description(inputs=[{"name": "ct", "modality": "CT", "unit": "HU", "scaling": RANGE}])
    return load_package(phantoms.write_linear_model(tmp_path_factory.mktemp("clicked"), section, weights, [0, 1]))


@pytest.mark.parametrize("keep", ["all", "clicked"])
@pytest.mark.parametrize("crop", [SOURCE, SOURCE | {"margin_vox": 1}, MODEL], ids=str)
def test_a_session_has_the_bytes_of_a_full_run(
    series: SeriesVolume, clicked: ModelPackage, crop: dict, keep: str
) -> None:
    rules = {"keep": keep, "min_value": None}
    package = with_changes(clicked, crop=crop, postprocessing=rules)
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with Session(series, package, engine=engine) as session:
        for fractions in ((0.3, 0.4, 0.5), (0.7, 0.7, 0.8), (0.26, 0.28, 0.25)):
            session.add_click(click_at(series, *fractions))
        session.undo()
        result = session.result()

        full = segment_series([series], Clicks(session.clicks), package, engine)

    assert result.labels.array.any()
    assert result.labels.array.tobytes() == full.labels.array.tobytes()
    assert result.removed == full.removed


@pytest.mark.parametrize("crop", [SOURCE, MODEL], ids=str)
def test_a_click_outside_the_box_is_an_error_and_changes_nothing(
    series: SeriesVolume, clicked: ModelPackage, crop: dict
) -> None:
    package, corner = with_changes(clicked, crop=crop), click_at(series, 0, 0, 0)
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with pytest.raises(ClickError, match="outside the part of the series that the model sees"):
        preprocess(make_case([series], Clicks((corner,)), package))
    with Session(series, package, engine=engine) as session:
        session.add_click(click_at(series, 0.5, 0.5, 0.5))
        before = session.label_map.array.copy()

        with pytest.raises(ClickError, match="outside the part of the series that the model sees"):
            session.add_click(corner)

        assert len(session.clicks) == 1
        assert session.result().labels.array.tobytes() == before.tobytes()
