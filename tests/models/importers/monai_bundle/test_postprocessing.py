"""The translated postprocessing gives the same labels on the source grid as MONAI's transforms."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser

from clickseg.core.errors import ModelError
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import model_geometry
from clickseg.models.importers.monai_bundle.reader import describe_bundle
from clickseg.models.importers.source_model import ImportOptions, Outcome, SourceModel
from clickseg.models.spec import ModelSpec
from tests.helpers import foreign_bundles as fb
from tests.helpers import phantoms
from tests.helpers.inference import label_map_from_logits
from tests.helpers.oracles import MetaTensor, torch

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
GEOMETRY = phantoms.oblique_geometry((8, 11, 10))
SPACING = fb.transform("Spacingd", pixdim=[2.3, 1.3, 2.6])
SIGMOID = fb.result_transform("Activationsd", sigmoid="True")
THRESHOLD = fb.result_transform("AsDiscreted", threshold=0.5)
LINEAR, NEAREST = fb.invert(nearest=False), fb.invert(nearest=True)


FIRST_OF_TWO = "torch.where(x[[1]] > 0, 4, torch.where(x[[2]] > 0, 2, 0))"


def merge(body: str) -> dict[str, Any]:
    return fb.result_transform("Lambdad", func=f"$lambda x: {body}")


def describe(*transforms: Any, channels: int = 3, preprocessing: Any = (fb.RAS, SPACING)) -> SourceModel:
    """Returns the description of a bundle with these transforms of the result."""
    config = fb.make_config(
        preprocessing=[*fb.LOAD, *preprocessing],
        postprocessing={"_target_": "Compose", "transforms": list(transforms)},
    )
    config["network_def"]["out_channels"] = channels
    return describe_bundle(config, fb.make_metadata(), ImportOptions(), "model")


def labels_of_monai(logits: np.ndarray, transforms: list[dict[str, Any]]) -> np.ndarray:
    """Returns the result [C, K, J, I] of MONAI's transforms, as its parser builds them, after its preprocessing."""
    parser = ConfigParser(
        {
            "image_key": "image",
            "preprocessing": {"_target_": "Compose", "transforms": [fb.RAS, SPACING]},
            "postprocessing": {"_target_": "Compose", "transforms": transforms},
        }
    )
    volume = phantoms.distinct_volume(GEOMETRY)
    image = MetaTensor(torch.from_numpy(volume.array.copy())[None], affine=torch.from_numpy(LPS_TO_RAS @ volume.affine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = parser.get_parsed_content("preprocessing")({"image": image})
        pred = MetaTensor(torch.from_numpy(logits.copy()), meta=data["image"].meta)
        result = parser.get_parsed_content("postprocessing")(data | {"pred": pred})["pred"]
    return result.numpy()


def random_logits(channels: int) -> np.ndarray:
    """Returns smooth random logits [C, I, J, K] on the model grid."""
    spec = ModelSpec.model_validate(describe(fb.ARGMAX, LINEAR).section)
    shape = model_geometry(GEOMETRY, spec.grid).spatial_shape
    noise = torch.from_numpy(np.random.default_rng(3).normal(0, 3, (1, channels, 4, 4, 4)).astype(np.float32))
    return torch.nn.functional.interpolate(noise, shape, mode="trilinear")[0].numpy()


@pytest.mark.parametrize(
    ("transforms", "interpolation"),
    [
        ([fb.SOFTMAX, LINEAR, fb.ARGMAX], "probabilities"),
        ([LINEAR, fb.SOFTMAX, fb.ARGMAX], "logits"),
        ([LINEAR, fb.ARGMAX], "logits"),
        ([fb.SOFTMAX, fb.ARGMAX, NEAREST], "labels"),
        ([fb.SOFTMAX, NEAREST, fb.ARGMAX], "labels"),
    ],
)
def test_the_labels_on_the_source_grid_are_those_of_monai(transforms: list[dict[str, Any]], interpolation: str) -> None:
    spec = ModelSpec.model_validate(describe(*transforms).section)
    logits = random_logits(3)

    ours = label_map_from_logits(logits, model_geometry(GEOMETRY, spec.grid), GEOMETRY, spec)

    theirs = labels_of_monai(logits, transforms)[0]
    assert spec.interpolation == interpolation
    assert len(np.unique(theirs)) == 3
    assert np.mean(ours.array != theirs) <= (0.002 if interpolation != "labels" else 0.01)  # ties


@pytest.mark.parametrize(
    ("transforms", "interpolation"),
    [
        ([SIGMOID, LINEAR, THRESHOLD], "probabilities"),
        ([LINEAR, SIGMOID, THRESHOLD], "logits"),
        ([SIGMOID, THRESHOLD, NEAREST], "labels"),
    ],
)
def test_overlapping_classes_are_those_of_a_threshold(transforms: list[dict[str, Any]], interpolation: str) -> None:
    section = describe(*transforms, channels=1).section

    assert section["activation"] == "sigmoid"
    assert section.get("interpolation", "logits") == interpolation
    assert [entry["channel"] for entry in section["classes"]] == [0]


@pytest.mark.parametrize(
    ("transforms", "interpolation"),
    [
        ([SIGMOID, LINEAR, THRESHOLD], "probabilities"),
        ([LINEAR, SIGMOID, THRESHOLD], "logits"),
        ([SIGMOID, THRESHOLD, NEAREST], "labels"),
    ],
)
def test_merged_masks_are_classes_that_overwrite_each_other(transforms: list[Any], interpolation: str) -> None:
    model = describe(*transforms, merge(FIRST_OF_TWO))
    spec = ModelSpec.model_validate(model.section)
    logits = random_logits(3)

    ours = label_map_from_logits(logits, model_geometry(GEOMETRY, spec.grid), GEOMETRY, spec).array

    config = [*transforms, {**merge(FIRST_OF_TWO), "func": f"$lambda x: __import__('torch').{FIRST_OF_TWO[6:]}"}]
    config[-1]["func"] = config[-1]["func"].replace(" torch.", " __import__('torch').")
    theirs = labels_of_monai(logits, config)[0]
    assert (spec.overwrite, spec.interpolation) == (True, interpolation)
    assert [entry.channel for entry in spec.classes] == [2, 1]
    assert sorted(np.unique(theirs)) == [0, 2, 4]
    assert np.mean(ours != np.select([theirs == 2, theirs == 4], [1, 2], 0)) <= (
        0.002 if interpolation != "labels" else 0.01  # ties
    )
    (note,) = (note for note in model.notes if note.key == f"postprocessing#transforms#{len(transforms)}")
    assert "the labels 4 of channel 1, 2 of channel 2 get other numbers" in note.text


def test_the_largest_of_sigmoids_is_the_largest_of_logits() -> None:
    model = describe(LINEAR, SIGMOID, fb.ARGMAX)
    spec = ModelSpec.model_validate(model.section)
    logits = random_logits(3)

    ours = label_map_from_logits(logits, model_geometry(GEOMETRY, spec.grid), GEOMETRY, spec).array

    assert (spec.activation, spec.interpolation) == ("softmax", "logits")
    assert np.mean(ours != labels_of_monai(logits, [LINEAR, SIGMOID, fb.ARGMAX])[0]) <= 0.002


def test_interpolated_labels_are_not_copied_and_a_note_gives_the_reason() -> None:
    model = describe(fb.SOFTMAX, fb.ARGMAX, LINEAR)

    assert model.section["interpolation"] == "labels"
    (note,) = (note for note in model.notes if note.key == "postprocessing#transforms#2")
    assert note.outcome is Outcome.DIFFERENT
    assert "class 1" in note.text


def test_without_resampling_nothing_is_interpolated() -> None:
    model = describe(fb.ARGMAX, fb.result_transform("KeepLargestConnectedComponentd"), LINEAR, preprocessing=[fb.RAS])

    assert Outcome.DIFFERENT not in {note.outcome for note in model.notes}
    assert "interpolation" not in model.section
    assert model.section["postprocessing"] == {"keep": "largest", "connectivity": "full"}


@pytest.mark.parametrize(
    ("arguments", "before", "expected"),
    [
        ({}, True, {"connectivity": "full", "grid": "model"}),
        ({"applied_labels": [1, 2]}, True, {"connectivity": "full", "grid": "model"}),
        ({"applied_labels": [1], "connectivity": 1}, True, {"grid": "model", "keep_classes": ["spleen"]}),
        (
            {"applied_labels": 2, "num_components": 2},
            False,
            {"connectivity": "full", "keep_count": 2, "keep_classes": ["class 2"]},
        ),
    ],
)
def test_the_largest_components_are_kept(arguments: dict[str, Any], before: bool, expected: dict[str, Any]) -> None:
    keep = fb.result_transform("KeepLargestConnectedComponentd", **arguments)

    section = describe(fb.ARGMAX, *([keep, NEAREST] if before else [NEAREST, keep])).section

    assert section["postprocessing"] == {"keep": "largest", **expected}


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([fb.SOFTMAX, LINEAR], "nothing decides the classes"),
        ([fb.SOFTMAX, THRESHOLD], "threshold: expected 0.5 after sigmoid"),
        (
            [SIGMOID, fb.result_transform("AsDiscreted", threshold=0.4)],
            "threshold: expected 0.5 after sigmoid, got 0.4",
        ),
        ([SIGMOID, LINEAR, fb.ARGMAX], "argmax of interpolated sigmoids is not supported"),
        ([fb.result_transform("AsDiscreted", argmax=True, to_onehot=3)], "to_onehot: expected None, got 3"),
        ([fb.SOFTMAX, fb.SOFTMAX, fb.ARGMAX], "#1: Activationsd: expected either softmax or sigmoid, once"),
        ([LINEAR, LINEAR, fb.ARGMAX], "#1: Invertd: expected it once"),
        ([fb.ARGMAX, fb.result_transform("Lambdad", func="$lambda x: x")], "contains Lambda, which is not supported"),
        ([fb.ARGMAX, merge("1 if x else 0")], "contains Lambda, which is not supported"),
        ([fb.ARGMAX, merge(FIRST_OF_TWO)], "Lambdad: expected it once, after AsDiscreted with threshold"),
        ([SIGMOID, THRESHOLD, merge(FIRST_OF_TWO), merge(FIRST_OF_TWO)], "#3: Lambdad: expected it once"),
        (
            [SIGMOID, THRESHOLD, merge("torch.where(x[[7]] > 0, 1, 0)")],
            r"to merge channels of classes, got channel \[7\]",
        ),
        ([SIGMOID, THRESHOLD, fb.result_transform("scripts.mine.Merge")], "a transform of the bundle's own code"),
        ([fb.ARGMAX, {"_target_": "FillHoles"}], "#1: FillHoles: expected keys"),
        ([fb.ARGMAX, {"_target_": "CopyItemsd", "keys": "label", "names": "pred"}], "only supported with the key pred"),
        ([fb.ARGMAX, fb.result_transform("FillHolesd")], "#1: FillHolesd: this transform is not yet supported"),
        ([fb.ARGMAX, fb.result_transform("scripts.own.Merge")], "the bundle's own code"),
        ([fb.ARGMAX, fb.result_transform("KeepLargestConnectedComponentd", applied_labels=[7])], "of classes, got 7"),
        ([fb.ARGMAX, fb.result_transform("KeepLargestConnectedComponentd", independent=False)], "independent"),
        ([fb.result_transform("Invertd", post_func="$lambda x: x"), fb.ARGMAX], "post_func: the expression"),
    ],
)
def test_what_cannot_be_expressed_is_one_error_that_names_it(transforms: list[Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        describe(*transforms)


def test_the_phantom_is_turned_by_the_model_grid() -> None:
    """Otherwise the comparisons with MONAI would not test the orientation."""
    assert reorientation_to(GEOMETRY, "RAS").apply(GEOMETRY).spatial_shape != GEOMETRY.spatial_shape


def test_a_result_that_is_not_inverted_is_noted() -> None:
    notes = {note.text for note in describe(fb.ARGMAX).notes} - {
        note.text for note in describe(LINEAR, fb.ARGMAX).notes
    }

    assert any("without Invertd the result stays on the model grid" in text for text in notes)
