"""Samples of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clickseg.training.cases import GridCase
from clickseg.training.config import Training, read_config
from clickseg.training.samples import MOST_PLACES, Samples, places
from tests.helpers.training_cases import SMALL

CHANGES = ("affine", "flip", "intensity", "contrast", "noise", "blur", "low_resolution")
PLAIN = (
    *(f"augmentation.{name}_share=0" for name in CHANGES),
    *(f"synthesis.{name}=0" for name in ("share", "surroundings", "distractors")),
)


def case(shape: tuple[int, int, int] = (24, 30, 28)) -> GridCase:
    """Each voxel of the image says where it is."""
    truth = np.zeros(shape, np.uint8)
    truth[6:12, 9:20, 4:10] = 1
    image = np.arange(1, truth.size + 1, dtype=np.float32).reshape(1, *shape)
    return GridCase("case", "PT", image, truth)


def samples(*changes: str, cases: tuple[GridCase, ...] = (case(),)) -> Samples:
    return Samples(cases, read_config(["pet_lesion"], [*SMALL, *PLAIN, *changes]), count=40)


def test_a_sample_depends_on_its_number_alone() -> None:
    often = ("synthesis.surroundings=1", "synthesis.distractors=1", "augmentation.noise_share=1")
    changes = ("synthesis.share=0.5", *often)
    one, other = samples(*changes), samples(*changes)
    for number in (7, 3, 11):
        one[number]

    again = one[3]

    for key in ("image", "truth", "objects"):
        assert torch.equal(again[key], other[3][key])


def test_a_patch_is_a_part_of_its_case_with_nothing_beyond_the_border() -> None:
    whole = case()
    for number in range(20):
        sample = samples()[number]
        values = sample["image"][0].numpy()
        inside = values > 0
        places = np.unravel_index(values[inside].astype(int) - 1, whole.truth.shape)
        offsets = np.array(places) - np.argwhere(inside).T

        assert (offsets == offsets[:, :1]).all()
        assert np.array_equal(sample["truth"][0].numpy()[inside], whole.truth[places])
        assert not sample["truth"][0].numpy()[~inside].any()


def test_positive_samples_hold_what_is_to_be_found() -> None:
    assert all(bool(samples("positive=1")[number]["truth"].any()) for number in range(20))


def test_places_of_a_large_organ_are_few_and_all_over_it() -> None:
    organ = np.zeros((70, 70, 70), np.uint8)
    organ[3:67, 3:67, 3:67] = 1

    found = np.array(np.unravel_index(places(organ), organ.shape))

    assert MOST_PLACES / 2 < found.shape[1] <= MOST_PLACES
    assert (found.min(axis=1) <= 4).all()
    assert (found.max(axis=1) >= 65).all()
    assert np.array_equal(places(case().truth), np.flatnonzero(case().truth))


def test_a_case_without_a_lesion_gives_samples_too() -> None:
    empty = case()
    nothing = GridCase("nothing", "PT", empty.images, np.zeros_like(empty.truth))

    sample = samples("positive=1", cases=(nothing,))[0]

    assert not sample["truth"].any()


def test_a_distractor_is_beside_the_truth_and_changes_nothing_in_it() -> None:
    plain, changed = samples("positive=1"), samples("positive=1", "synthesis.distractors=1")
    drawn = 0
    for number in range(20):
        before, after = plain[number], changed[number]
        inside = after["truth"] > 0
        drawn += bool(after["objects"].any())

        assert not after["objects"][inside].any()
        assert torch.equal(before["image"][inside], after["image"][inside])
    assert drawn > 10


def test_surroundings_fill_what_lies_beyond_the_border() -> None:
    small_case = case((12, 30, 28))

    sample = samples("synthesis.surroundings=1", cases=(small_case,))[1]

    assert (sample["image"] > 0).float().mean() > 0.5
    assert not sample["objects"][sample["truth"] > 0].any()


def test_in_a_synthetic_sample_only_clicks_say_what_is_meant() -> None:
    sample = samples("synthesis.share=1", "synthesis.automatic=0", cases=())[5]

    assert sample["must_click"]
    assert sample["truth"].any()


def test_in_an_automatic_sample_all_objects_are_meant() -> None:
    always = samples("synthesis.share=1", "synthesis.automatic=1")
    clicked = samples("synthesis.share=1", "synthesis.automatic=0")

    for number in range(10):
        sample, other = always[number], clicked[number]
        assert not sample["must_click"]
        assert bool((sample["truth"] >= other["truth"]).all())
    assert any(bool((always[n]["truth"] > clicked[n]["truth"]).any()) for n in range(10))


def test_pet_and_ct_show_the_same_objects_each_in_its_own_way() -> None:
    how = read_config(["pet_lesion", "pet_ct"], [*SMALL, *PLAIN, "synthesis.share=1"])
    made = [Samples((), how, count=20)[number] for number in range(20)]

    brighter = [
        [float(image[each["truth"][0] > 0].mean() - image[each["truth"][0] == 0].mean()) for image in each["image"]]
        for each in made
    ]

    assert {len(each) for each in brighter} == {2}
    assert sum(pet > 0 for pet, _ in brighter) >= 16
    assert 4 <= sum(ct > 0 for _, ct in brighter) <= 16
    correlations = [np.corrcoef(*each["image"].reshape(2, -1).numpy())[0, 1] for each in made]
    assert max(correlations) < 0.98


def test_a_model_that_needs_clicks_always_has_one() -> None:
    needs = samples("model.guidance.required=true", "synthesis.share=0.5", "synthesis.automatic=1")

    assert all(needs[number]["must_click"] for number in range(12))


@pytest.mark.parametrize("number", range(3))
def test_a_sample_has_the_size_that_was_asked_for(small: Training, number: int) -> None:
    sample = Samples((case(),), small, count=3)[number]

    assert sample["image"].shape == (1, 16, 16, 16)
    assert sample["truth"].shape == sample["objects"].shape == (1, 16, 16, 16)
