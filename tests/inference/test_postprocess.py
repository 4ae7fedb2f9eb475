"""Postprocessing follows the rules of the model package and reports what it removed."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from clickseg.clicks.click import Click, Polarity
from clickseg.core.label_map import LabelMap
from clickseg.inference.postprocess import postprocess
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import keep_largest_components

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND
GEOMETRY = phantoms.oblique_geometry((12, 14, 16))
VOXEL_ML = phantoms.ROW_SPACING * phantoms.COLUMN_SPACING * phantoms.SLICE_SPACING / 1000


def make_spec(**rules: object) -> ModelSpec:
    section = phantoms.metadata(postprocessing=rules, guidance=phantoms.GUIDANCE)
    return ModelSpec.model_validate(section | {"grid": {"spacing_mm": [1.5, 1.5, 3.0], "orientation": "RAS"}})


def click(*index: float, polarity: Polarity = FG, label: str = "hook") -> Click:
    x, y, z = GEOMETRY.map_indices_to_reference(np.array([index]))[0]
    return Click(label, polarity, (x, y, z))


@pytest.fixture
def labels() -> LabelMap:
    """Components of 60, 8 and 1 voxels; the last two touch at a corner only."""
    array = np.zeros(GEOMETRY.spatial_shape, np.uint8)
    array[1:4, 1:5, 1:6] = 1
    array[8:10, 8:10, 8:10] = 1
    array[10, 10, 10] = 1
    return LabelMap(array, False, 1)


@pytest.fixture
def volume() -> hd.Volume:
    return GEOMETRY.with_array(np.full(GEOMETRY.spatial_shape, 5, np.float32))


def test_everything_is_kept_without_rules(labels: LabelMap, volume: hd.Volume) -> None:
    kept, removed = postprocess(labels, volume, [], make_spec())

    assert np.array_equal(kept.array, labels.array)
    assert removed == ()


def test_the_input_is_not_changed(labels: LabelMap, volume: hd.Volume) -> None:
    before = labels.array.copy()

    postprocess(labels, volume, [], make_spec(keep="largest", min_value=9))

    assert np.array_equal(labels.array, before)


def test_voxels_below_the_minimum_are_dropped(labels: LabelMap, volume: hd.Volume) -> None:
    volume.array[1:3] = 1.49
    volume.array[3] = 1.5

    kept, (removed,) = postprocess(labels, volume, [], make_spec(min_value=1.5))

    assert kept.mask(1).sum() == 20 + 9
    assert removed.below_min_value_ml == pytest.approx(40 * VOXEL_ML)


def test_small_components_are_dropped(labels: LabelMap, volume: hd.Volume) -> None:
    kept, (removed,) = postprocess(labels, volume, [], make_spec(min_volume_ml=8 * VOXEL_ML - 1e-9))

    assert kept.mask(1).sum() == 68
    assert (removed.component_count, removed.components_ml) == (1, pytest.approx(VOXEL_ML))


def test_keep_largest_keeps_the_largest_component(labels: LabelMap, volume: hd.Volume) -> None:
    kept, (removed,) = postprocess(labels, volume, [], make_spec(keep="largest"))

    assert kept.mask(1).sum() == 60
    assert removed.component_count == 2


def test_voxels_that_touch_at_a_corner_are_two_components(labels: LabelMap, volume: hd.Volume) -> None:
    kept, _ = postprocess(labels, volume, [click(10, 10, 10)], make_spec(keep="clicked"))

    assert np.argwhere(kept.mask(1)).tolist() == [[10, 10, 10]]


def test_keep_clicked_keeps_clicked_components(labels: LabelMap, volume: hd.Volume) -> None:
    clicks = [click(2, 2, 2), click(9, 9, 9), click(10, 10, 10, polarity=BG)]

    kept, (removed,) = postprocess(labels, volume, clicks, make_spec(keep="clicked"))

    assert kept.mask(1).sum() == 68
    assert (removed.component_count, removed.unmatched_clicks) == (1, 0)


def test_without_foreground_clicks_all_components_are_kept(labels: LabelMap, volume: hd.Volume) -> None:
    kept, _ = postprocess(labels, volume, [click(2, 2, 2, polarity=BG)], make_spec(keep="clicked"))

    assert np.array_equal(kept.array, labels.array)


def test_a_click_in_a_hole_keeps_the_component_that_its_ball_touches(labels: LabelMap, volume: hd.Volume) -> None:
    volume.array[2, 3, 3] = 0

    kept, (removed,) = postprocess(labels, volume, [click(2, 3, 3)], make_spec(keep="clicked", min_value=1))

    assert kept.mask(1).sum() == 59
    assert removed.unmatched_clicks == 0


def test_a_click_far_from_all_components_is_reported(labels: LabelMap, volume: hd.Volume) -> None:
    kept, (removed,) = postprocess(labels, volume, [click(6, 12, 1)], make_spec(keep="clicked"))

    assert kept.present_classes() == ()
    assert removed.unmatched_clicks == 1


def test_a_click_at_the_border_of_the_volume_is_accepted(labels: LabelMap, volume: hd.Volume) -> None:
    _, (removed,) = postprocess(labels, volume, [click(11.5, 13.5, 15.5)], make_spec(keep="clicked"))

    assert removed.unmatched_clicks == 1


def test_each_class_is_postprocessed_with_its_own_clicks(volume: hd.Volume) -> None:
    array = np.zeros((*GEOMETRY.spatial_shape, 1), np.uint8)
    array[1:3, 1:3, 1:3] |= 1
    array[6:8, 6:8, 6:8] |= 1
    array[2:4, 2:4, 2:4] |= 2
    channels = [{"takes": [["a", "foreground"], ["b", "foreground"]]}]
    section = phantoms.metadata(
        classes=[phantoms.organ("a", 0), phantoms.organ("b", 1)],
        activation="sigmoid",
        guidance=phantoms.GUIDANCE | {"channels": channels},
        postprocessing={"keep": "clicked"},
    )

    kept, removed = postprocess(
        LabelMap(array, True, 2), volume, [click(6, 6, 6, label="a")], ModelSpec.model_validate(section)
    )

    assert [kept.mask(1).sum(), kept.mask(2).sum()] == [8, 8]
    assert [removal.component_count for removal in removed] == [1, 0]


def make_spec_of_three(**rules: object) -> ModelSpec:
    classes = [phantoms.organ(name, channel) for channel, name in enumerate("abc", 1)]
    return ModelSpec.model_validate(phantoms.metadata(output_channels=4, classes=classes, postprocessing=rules))


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from(["faces", "full"]))
@settings(max_examples=40, deadline=None)
def test_the_largest_components_of_some_classes_equal_those_of_a_naive_search(
    seed: int, count: int, connectivity: str
) -> None:
    rng = np.random.default_rng(seed)
    array = (rng.integers(1, 4, GEOMETRY.spatial_shape) * (rng.random(GEOMETRY.spatial_shape) < 0.3)).astype(np.uint8)
    volume = GEOMETRY.with_array(np.ones(GEOMETRY.spatial_shape, np.float32))
    spec = make_spec_of_three(keep="largest", keep_count=count, keep_classes=["a", "b"], connectivity=connectivity)

    kept, removed = postprocess(LabelMap(array, False, 3), volume, [], spec)

    np.testing.assert_array_equal(kept.array, keep_largest_components(array, [1, 2], count, connectivity))
    assert removed[2].component_count == 0


def test_of_equally_large_components_the_first_are_kept(volume: hd.Volume) -> None:
    array = np.zeros(GEOMETRY.spatial_shape, np.uint8)
    for start in (9, 1, 5):
        array[start : start + 2, 3, 3] = 1
    array[7:10, 10, 10] = 1

    kept, (removed,) = postprocess(LabelMap(array, False, 1), volume, [], make_spec(keep="largest", keep_count=2))

    assert np.argwhere(kept.mask(1))[:, 0].tolist() == [1, 2, 7, 8, 9]
    assert removed.component_count == 2


def test_voxels_that_touch_at_a_corner_are_one_component_with_full_connectivity(
    labels: LabelMap, volume: hd.Volume
) -> None:
    rules = {"keep": "clicked", "connectivity": "full"}

    kept, _ = postprocess(labels, volume, [click(10, 10, 10)], make_spec(**rules))

    assert kept.mask(1).sum() == 9


def test_classes_outside_keep_classes_keep_all_components(labels: LabelMap, volume: hd.Volume) -> None:
    spec = make_spec_of_three(keep="largest", keep_classes=["b"])

    kept, _ = postprocess(LabelMap(labels.array, False, 3), volume, [], spec)

    assert np.array_equal(kept.array, labels.array)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"keep_count": 2}, "keep_count: expected 1, or keep largest, got keep all"),
        ({"keep_count": 0, "keep": "largest"}, "keep_count"),
        ({"keep_classes": ["hook"]}, "keep_classes: expected keep largest or clicked, got keep all"),
        ({"keep_classes": [], "keep": "largest"}, "keep_classes"),
        ({"keep_classes": ["liver"], "keep": "largest"}, r"expected classes among \['hook'\], got \['liver'\]"),
        ({"grid": "model", "keep": "largest"}, "expected interpolation of labels, got logits"),
    ],
)
def test_rules_that_contradict_each_other_are_rejected(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_spec(**rules)


def test_rules_with_default_values_are_not_written() -> None:
    """UIDs depend on the written specification, and stay those of older versions."""
    written = make_spec(keep="largest").model_dump(mode="json")["postprocessing"]

    assert written == {"min_value": None, "min_volume_ml": 0.0, "keep": "largest"}


@given(st.integers(0, 2**32 - 1), st.sampled_from(["all", "largest"]), st.floats(0, 0.05))
@settings(max_examples=50)
def test_the_result_equals_that_of_a_naive_loop(seed: int, keep: str, min_volume_ml: float) -> None:
    array = (np.random.default_rng(seed).random(GEOMETRY.spatial_shape) < 0.25).astype(np.uint8)
    volume = GEOMETRY.with_array(np.ones(GEOMETRY.spatial_shape, np.float32))

    kept, _ = postprocess(LabelMap(array, False, 1), volume, [], make_spec(keep=keep, min_volume_ml=min_volume_ml))

    components, count = ndimage.label(array)
    sizes = [(components == number).sum() for number in range(1, count + 1)]
    expected = np.zeros(array.shape, bool)
    for number, size in enumerate(sizes, 1):
        is_kept = keep == "all" or number == 1 + int(np.argmax(sizes))
        if is_kept and size * volume.voxel_volume / 1000 >= min_volume_ml:
            expected |= components == number
    assert np.array_equal(kept.mask(1), expected)
