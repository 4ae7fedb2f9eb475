"""The translated preprocessing gives the same image on the model grid as MONAI's transforms."""

from __future__ import annotations

import warnings
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from monai.bundle import ConfigParser

from clickseg.core.arrays import full_box
from clickseg.core.errors import ModelError
from clickseg.inference.preprocess import make_images
from clickseg.inference.resample import model_geometry, resolve_grid
from clickseg.models.importers.monai_bundle.reader import describe_bundle
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome
from clickseg.models.spec import ModelSpec
from tests.helpers import foreign_bundles as fb
from tests.helpers import phantoms
from tests.helpers.oracles import MetaTensor, torch

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
GEOMETRY = phantoms.oblique_geometry((9, 12, 14))


def section(*transforms: Any, **options: Any) -> dict[str, Any]:
    """Returns the section of a bundle with these transforms after the image is loaded."""
    model = describe_bundle(fb.with_transforms(*transforms), fb.make_metadata(), ImportOptions(**options), "model")
    return dict(model.section)


def scaling(*transforms: Any) -> Any:
    return section(fb.RAS, fb.SPACING, *transforms)["inputs"][0]["scaling"]


def noise() -> hd.Volume:
    """Returns an oblique volume with noise around an asymmetric object, and zeros."""
    values = np.random.default_rng(0).normal(0, 60, GEOMETRY.spatial_shape).astype(np.float32)
    values[:2] = 0
    return GEOMETRY.with_array(values + phantoms.hook_volume(GEOMETRY, inside=120).array)


def preprocess_with_monai(volume: hd.Volume, transforms: list[dict[str, Any]]) -> MetaTensor:
    """Applies transforms, as MONAI's parser builds them."""
    content = {"image_key": "image", "compose": {"_target_": "Compose", "transforms": transforms}}
    image = MetaTensor(torch.from_numpy(volume.array.copy())[None], affine=torch.from_numpy(LPS_TO_RAS @ volume.affine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ConfigParser(content).get_parsed_content("compose")({"image": image})["image"]


RANGE = fb.transform("ScaleIntensityRanged", a_min=-100, a_max=150, b_min=-1, b_max=1, clip=True)
ZSCORE = fb.transform("NormalizeIntensityd", nonzero="True", channel_wise="True")
MINIMUM_MAXIMUM = fb.transform("ScaleIntensityd", minv=-1, maxv=1)


@pytest.mark.parametrize(
    "transforms",
    [
        [fb.RAS, fb.SPACING, RANGE],
        [fb.transform("OrientationD", axcodes="LPS"), fb.transform("SpacingDict", pixdim=2.2), RANGE],
        [RANGE, fb.RAS, fb.transform("Spacingd", pixdim=[1.1, 1.9, 2.7], align_corners=True)],
        [fb.RAS, fb.transform("monai.transforms.Spacingd", pixdim=[2, -1, 4], mode=["bilinear"]), RANGE],
        [fb.RAS, fb.SPACING, ZSCORE, MINIMUM_MAXIMUM],
        [fb.RAS, fb.SPACING, fb.transform("ScaleIntensityd"), fb.transform("NormalizeIntensityd")],
        [fb.RAS, fb.SPACING, fb.transform("ScaleIntensityRangePercentilesd", lower=1, upper=90, b_min=0, b_max=2)],
        [
            fb.RAS,
            fb.SPACING,
            fb.transform(
                "ScaleIntensityRangePercentilesd", lower=5, upper=90, b_min=0, b_max=2, clip=True, relative=True
            ),
        ],
        [fb.RAS, fb.SPACING, fb.transform("NormalizeIntensityd", subtrahend=20, divisor=35)],
        [fb.RAS, fb.SPACING, fb.transform("ScaleIntensityRanged", a_min=-10, a_max=90)],
        [fb.RAS, fb.SPACING, RANGE, fb.transform("GaussianSmoothd", sigma=0.8)],
        [
            fb.RAS,
            fb.transform("Spacingd", pixdim=[1, 1.6, 3], min_pixdim=[0.75, 1.2, 2.25], max_pixdim=[1.25, 2, 3.75]),
        ],
    ],
)
def test_the_image_on_the_model_grid_is_that_of_monai(transforms: list[dict[str, Any]]) -> None:
    volume = noise()

    spec = ModelSpec.model_validate(section(*transforms))

    spec = spec.model_copy(update={"grid": resolve_grid(spec.grid, volume.get_geometry())})
    (image,), _ = make_images([volume], spec)
    expected = preprocess_with_monai(volume, transforms)
    grid = model_geometry(volume.get_geometry(), spec.grid)
    np.testing.assert_allclose(image.crop(full_box(image.shape)), expected[0].numpy(), atol=2e-3)
    np.testing.assert_allclose(grid.affine, LPS_TO_RAS @ expected.affine.numpy(), atol=1e-4)


def test_an_image_with_one_value_becomes_the_minimum_and_not_a_multiple_of_it() -> None:
    """MONAI multiplies the value by the minimum: documented as a difference."""
    volume = GEOMETRY.with_array(np.full(GEOMETRY.spatial_shape, 40, np.float32))
    spec = ModelSpec.model_validate(section(fb.RAS, fb.SPACING, MINIMUM_MAXIMUM))
    spec = spec.model_copy(update={"grid": resolve_grid(spec.grid, GEOMETRY)})

    (image,), _ = make_images([volume], spec)

    theirs = preprocess_with_monai(volume, [fb.RAS, fb.SPACING, MINIMUM_MAXIMUM])
    assert np.unique(image.crop(full_box(image.shape))) == [-1]
    assert np.unique(theirs.numpy().round(3)) == [-40]


@pytest.mark.parametrize("reader", ["ITKReader", None, ["ITKReader", "NibabelReader"], {"_target_": "ITKReader"}])
def test_readers_without_arguments_are_ignored(reader: Any) -> None:
    load = fb.transform("LoadImaged", reader=reader)
    config = fb.make_config(preprocessing=[load, fb.RAS])

    model = describe_bundle(config, fb.make_metadata(), ImportOptions(), "model")

    assert model.section["grid"]["orientation"] == "RAS"


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ({"_target_": "NibabelReader", "as_closest_canonical": True}, "the argument as_closest_canonical"),
        ([{"_target_": "ITKReader", "reverse_indexing": True}], "the argument reverse_indexing"),
        ("$@make_reader()", "preprocessing#0"),
    ],
)
def test_readers_that_may_turn_images_are_errors(reader: Any, message: str) -> None:
    config = fb.make_config(preprocessing=[fb.transform("LoadImaged", reader=reader), fb.RAS])

    with pytest.raises(ModelError, match=message):
        describe_bundle(config, fb.make_metadata(), ImportOptions(), "model")


def test_numbers_are_taken_from_the_bundle() -> None:
    assert scaling(fb.RANGE) == {"kind": "range", "a_min": -57, "a_max": 164}
    assert scaling(fb.transform("ScaleIntensityd")) == {"kind": "percentile", "lower": 0, "upper": 100}
    assert section(fb.RAS, fb.SPACING, fb.RANGE)["grid"] == {"spacing_mm": [1.5, 1.5, 2.0], "orientation": "RAS"}


def test_an_image_that_is_neither_turned_nor_resampled_keeps_the_axes_of_the_series() -> None:
    config = fb.with_transforms(ZSCORE)

    model = describe_bundle(config, fb.make_metadata(modality="MRI"), ImportOptions(), "model")

    assert model.section["grid"] == {"spacing_mm": ["source"] * 3, "orientation": "source"}
    assert model.section["inputs"][0]["modality"] == "MR"
    assert [note.key for note in model.notes if note.outcome is Outcome.ASSUMED] == ["grid.orientation"]
    assert section(ZSCORE, stored_axes="LPS")["grid"]["orientation"] == "LPS"


@pytest.mark.parametrize(
    ("transforms", "crop"),
    [
        ([fb.RAS, fb.SPACING, fb.RANGE, "crop"], {"voxels": "positive", "values": "scaled", "grid": "model"}),
        ([fb.RAS, fb.SPACING, "crop", fb.RANGE], {"voxels": "positive", "values": "source", "grid": "model"}),
        ([fb.RAS, "crop", fb.SPACING, fb.RANGE], {"voxels": "positive", "values": "source", "grid": "source"}),
        ([fb.RANGE, fb.RAS, "crop", fb.SPACING], {"voxels": "positive", "values": "scaled", "grid": "source"}),
        (["crop", ZSCORE], {"voxels": "positive", "values": "source", "grid": "model"}),
    ],
)
def test_the_crop_has_the_values_and_the_grid_of_its_position(transforms: list[Any], crop: dict[str, Any]) -> None:
    cropping = fb.transform("CropForegroundd", source_key="@image_key", margin=10, allow_smaller=True)

    translated = section(*[cropping if one == "crop" else one for one in transforms])

    assert translated["crop"] == {**crop, "margin_vox": 10}


def test_transforms_of_other_items_and_of_types_are_ignored_with_a_note() -> None:
    config = fb.with_transforms(
        fb.RAS,
        {"_target_": "EnsureTyped", "keys": "label"},
        fb.transform("CastToTyped", dtype="$torch.float32"),
        fb.transform("EnsureTyped", device="@device"),
    )

    notes = describe_bundle(config, fb.make_metadata(), ImportOptions(), "model").notes

    keys = [f"preprocessing#transforms#{index}" for index in (3, 4, 5)]
    assert [note.outcome for note in notes if note.key in keys] == [Outcome.IGNORED] * 3
    assert ImportNote("preprocessing#transforms#2", Outcome.TRANSLATED, "Orientationd: grid.orientation") in notes


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([fb.transform("Resized", spatial_size=[128] * 3)], "#2: Resized: this transform is not yet supported"),
        ([fb.transform("Lambdad", func="$lambda x: x")], "#2: Lambdad: this transform is not yet supported"),
        (
            [{"_target_": "scripts.own.Join", "keys_merge": ["a"]}],
            r"#2: scripts\.own\.Join: a transform of the bundle's",
        ),
        ([fb.SPACING, fb.RAS], "#3: Orientationd: expected it once, before Spacingd"),
        ([fb.SPACING, fb.SPACING], "#3: Spacingd: expected it once"),
        ([fb.transform("Spacingd", pixdim=[1, 1, 1], mode="nearest")], "mode: expected 'bilinear', got 'nearest'"),
        ([fb.transform("Spacingd", pixdim=[1, 1, 1], mode=3)], "mode: expected 'bilinear', got 3"),
        ([fb.transform("Spacingd", pixdim=[1] * 4)], "pixdim: expected one to three numbers"),
        ([fb.transform("Spacingd", pixdim=[1, 1, 1], scale_extent=True)], "scale_extent: expected False"),
        ([fb.transform("Spacingd", pixdim=[1, 1, 1], min_pixdim=[0.5, 0.6, 0.7])], "min_pixdim: expected the same"),
        ([fb.transform("Spacingd", pixdim=[1, 1, 1], speed=1)], "the argument speed is not supported"),
        ([fb.transform("Orientationd", axcodes="XYZ")], "axcodes: expected three letters"),
        ([fb.RANGE, fb.SPACING, fb.RANGE], "expected all scalings before Spacingd, or all after it"),
        ([fb.transform("ScaleIntensityRanged", a_min=1, a_max=1)], "expected a_min below a_max"),
        ([fb.transform("ScaleIntensityRanged", a_min=1)], "a_max: expected a number, got None"),
        ([fb.transform("ScaleIntensityRanged", a_min=0, a_max=10**400)], "a_max: expected a number"),
        ([fb.transform("ScaleIntensityRanged", a_min=0, a_max=1, clip=True)], "expected both b_min and b_max"),
        ([fb.transform("ScaleIntensityd", minv=None, maxv=None, factor=2)], "a factor is not supported"),
        ([fb.transform("NormalizeIntensityd", subtrahend=1)], "expected both subtrahend and a positive divisor"),
        ([fb.transform("EnsureTyped", dtype="$torch.int16")], "dtype: expected None or 'float32'"),
        (
            [fb.transform("CropForegroundd", source_key="image", select_fn="$lambda x: x > 1")],
            "select_fn: only the default is supported",
        ),
        ([fb.transform("CropForegroundd", source_key="image", margin=3)], "expected allow_smaller true"),
        ([fb.transform("CropForegroundd", source_key="other")], "source_key: expected 'image'"),
        ([fb.transform("CropForegroundd", source_key="image", k_divisible=8)], "k_divisible: expected 1, got 8"),
        (
            [fb.RANGE, fb.transform("CropForegroundd", source_key="image"), ZSCORE],
            "expected all scalings before CropForegroundd",
        ),
        ([{**fb.RANGE, "_requires_": "$import os"}], "_requires_ is not supported"),
        ([{"_target_": "$open('x')", "keys": "image"}], "calls open"),
        (["text"], "expected an object with _target_"),
    ],
)
def test_what_cannot_be_expressed_is_one_error_that_names_it(transforms: list[Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        section(*transforms)


DELETE_LABEL = {"_target_": "DeleteItemsd", "keys": "label"}
BY_COPY = {"_target_": "CopyItemsd", "keys": "label", "names": "image"}


def preprocessing_section(*transforms: Any, **config: Any) -> dict[str, Any]:
    """Returns the section of a bundle with exactly these transforms."""
    content = fb.make_config(preprocessing=list(transforms), **config)
    return dict(describe_bundle(content, fb.make_metadata(), ImportOptions(), "model").section)


def test_transforms_of_labels_before_the_image_is_loaded_change_nothing() -> None:
    others = [DELETE_LABEL, {"_target_": "LoadImaged", "keys": "label"}, {**fb.RAS, "keys": "label"}]

    with_labels = preprocessing_section(*others, *fb.LOAD, fb.RAS, fb.SPACING, fb.RANGE)

    assert with_labels == preprocessing_section(*fb.LOAD, fb.RAS, fb.SPACING, fb.RANGE)


def test_the_image_may_have_another_key() -> None:
    transforms = [*fb.LOAD, fb.RAS, fb.SPACING, fb.RANGE]

    assert preprocessing_section(*transforms, image_key="ct") == preprocessing_section(*transforms)


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (
            [*fb.LOAD, {"_target_": "ScaleIntensityRange", "a_min": 0, "a_max": 1}],
            "#2: ScaleIntensityRange: expected keys",
        ),
        ([*fb.LOAD, BY_COPY], "#2: CopyItemsd: .* may change the image"),
        ([*fb.LOAD, {**DELETE_LABEL, "keys": ".*", "use_re": True}], "#2: DeleteItemsd: use_re: expected False"),
        ([*fb.LOAD, {**DELETE_LABEL, "keys": "image"}], "#2: DeleteItemsd: deletes 'image'"),
        ([*fb.LOAD, {"_target_": "SelectItemsd", "keys": "label"}], "#2: SelectItemsd: keys: expected also 'image'"),
        ([*fb.LOAD, *fb.LOAD], "#2: LoadImaged: expected it once"),
        ([fb.RAS, *fb.LOAD], "#0: Orientationd: expected LoadImaged of 'image' before it"),
        (
            [{"_target_": "LoadImaged", "keys": "ct"}, {**fb.RAS, "keys": "ct"}],
            "expected LoadImaged of 'image', the image",
        ),
        ([], "expected LoadImaged of 'image'"),
    ],
)
def test_transforms_that_may_change_or_omit_the_image_are_errors(transforms: list[Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        preprocessing_section(*transforms)


KEYS = ["artery", "vein"]
LOAD_BOTH = {"_target_": "LoadImaged", "keys": KEYS}
JOIN = {"_target_": "ConcatItemsd", "keys": KEYS, "name": "image"}


def inputs_of(*transforms: Any, **image: Any) -> list[dict[str, Any]]:
    """Returns the inputs of a bundle with two images."""
    config = fb.make_config(preprocessing={"_target_": "Compose", "transforms": list(transforms)})
    config["network_def"]["in_channels"] = 2
    metadata = fb.make_metadata(**{"num_channels": 2, "channel_def": {"0": "image"}, **image})
    return list(describe_bundle(config, metadata, ImportOptions(), "model").section["inputs"])


def test_images_that_are_joined_are_inputs_with_the_names_of_their_keys() -> None:
    artery, vein = inputs_of(LOAD_BOTH, {**fb.RAS, "keys": KEYS}, {**ZSCORE, "keys": KEYS}, JOIN, fb.RANGE)

    assert (artery["name"], vein["name"]) == ("artery", "vein")
    assert "*{arter,corticomed}*" in artery["descriptions"]
    assert [step["kind"] for step in artery["scaling"]] == ["zscore", "range"]
    assert artery["scaling"] == vein["scaling"]


def test_the_channels_of_one_image_are_inputs_with_their_names() -> None:
    normalize = {**ZSCORE, "nonzero": True, "channel_wise": True}

    first, second = inputs_of(fb.LOAD[0], normalize, channel_def={"0": "T1c", "1": "T1c"}, modality="MRI")

    assert (first["name"], second["name"]) == ("T1c", "image 2")
    assert first["scaling"] == {"kind": "zscore", "nonzero": True}
    assert first["descriptions"] == second["descriptions"]


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (
            [LOAD_BOTH, {**fb.RAS, "keys": "vein"}, JOIN],
            "#1: Orientationd: keys: expected all of the images artery, vein",
        ),
        ([LOAD_BOTH, JOIN, {**ZSCORE, "channel_wise": False}], "NormalizeIntensityd: expected channel_wise true"),
        ([fb.LOAD[0], fb.transform("ScaleIntensityd")], "ScaleIntensityd: expected channel_wise true"),
        ([LOAD_BOTH, {**JOIN, "keys": [*KEYS, "late"]}], "keys: expected 2 images, the channels of the network, got 3"),
        ([LOAD_BOTH, {**JOIN, "dim": 1}], "ConcatItemsd: dim: expected 0, got 1"),
        ([JOIN, LOAD_BOTH], "#0: ConcatItemsd: expected it once, after LoadImaged"),
        ([LOAD_BOTH, JOIN, {**JOIN, "name": "vein"}], "#2: ConcatItemsd: replaces an image"),
        (
            [LOAD_BOTH, JOIN, fb.transform("CropForegroundd", source_key="vein")],
            "source_key: expected 'image', the image that reaches",
        ),
        ([LOAD_BOTH, {"_target_": "scripts.own.Join", "keys_merge": KEYS, "keys_out": "image"}], "own code"),
    ],
)
def test_several_images_that_cannot_be_expressed_are_an_error(transforms: list[Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        inputs_of(*transforms)
