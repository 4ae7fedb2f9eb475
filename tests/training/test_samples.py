"""The samples of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clickseg.training.cases import GridCase
from clickseg.training.config import TrainingConfig, read_config
from clickseg.training.samples import MAX_FOREGROUND_INDICES, SampleDataset, foreground_indices
from tests.helpers.training_cases import SMALL

AUGMENTATIONS = ("affine", "flip", "intensity", "contrast", "noise", "blur", "low_resolution")
PLAIN = (
    *(f"augmentation.{name}_probability=0" for name in AUGMENTATIONS),
    *(f"synthesis.{name}=0" for name in ("probability", "padding_probability", "distractor_probability")),
)


def make_case(shape: tuple[int, int, int] = (24, 30, 28)) -> GridCase:
    """Returns a case in which the intensity of each voxel is its flat index, from 1."""
    truth = np.zeros(shape, np.uint8)
    truth[6:12, 9:20, 4:10] = 1
    image = np.arange(1, truth.size + 1, dtype=np.float32).reshape(1, *shape)
    return GridCase("case", "PT", image, truth)


def make_samples(*changes: str, cases: tuple[GridCase, ...] = (make_case(),)) -> SampleDataset:
    return SampleDataset(cases, read_config(["pet_lesion"], [*SMALL, *PLAIN, *changes]), count=40)


def test_a_sample_depends_only_on_its_number() -> None:
    frequent = (
        "synthesis.padding_probability=1",
        "synthesis.distractor_probability=1",
        "augmentation.noise_probability=1",
    )
    changes = ("synthesis.probability=0.5", *frequent)
    first, second = make_samples(*changes), make_samples(*changes)
    for number in (7, 3, 11):
        first[number]

    again = first[3]

    for key in ("image", "truth", "distractors"):
        assert torch.equal(again[key], second[3][key])


def test_a_patch_is_a_crop_of_its_case_padded_with_zeros() -> None:
    source = make_case()
    for number in range(20):
        sample = make_samples()[number]
        values = sample["image"][0].numpy()
        inside = values > 0
        voxels = np.unravel_index(values[inside].astype(int) - 1, source.truth.shape)
        offsets = np.array(voxels) - np.argwhere(inside).T

        assert (offsets == offsets[:, :1]).all()
        assert np.array_equal(sample["truth"][0].numpy()[inside], source.truth[voxels])
        assert not sample["truth"][0].numpy()[~inside].any()


def test_foreground_samples_contain_foreground() -> None:
    assert all(bool(make_samples("foreground_probability=1")[number]["truth"].any()) for number in range(20))


def test_foreground_indices_of_a_large_organ_are_thinned_out_evenly() -> None:
    organ = np.zeros((70, 70, 70), np.uint8)
    organ[3:67, 3:67, 3:67] = 1

    voxels = np.array(np.unravel_index(foreground_indices(organ), organ.shape))

    assert MAX_FOREGROUND_INDICES / 2 < voxels.shape[1] <= MAX_FOREGROUND_INDICES
    assert (voxels.min(axis=1) <= 4).all()
    assert (voxels.max(axis=1) >= 65).all()
    assert np.array_equal(foreground_indices(make_case().truth), np.flatnonzero(make_case().truth))


def test_a_case_without_a_lesion_has_samples() -> None:
    source = make_case()
    healthy = GridCase("healthy", "PT", source.images, np.zeros_like(source.truth))

    sample = make_samples("foreground_probability=1", cases=(healthy,))[0]

    assert not sample["truth"].any()


def test_a_distractor_is_outside_the_foreground_and_does_not_change_it() -> None:
    plain = make_samples("foreground_probability=1")
    with_distractor = make_samples("foreground_probability=1", "synthesis.distractor_probability=1")
    count = 0
    for number in range(20):
        before, after = plain[number], with_distractor[number]
        inside = after["truth"] > 0
        count += bool(after["distractors"].any())

        assert not after["distractors"][inside].any()
        assert torch.equal(before["image"][inside], after["image"][inside])
    assert count > 10


def test_padding_fills_voxels_outside_the_case() -> None:
    small_case = make_case((12, 30, 28))

    sample = make_samples("synthesis.padding_probability=1", cases=(small_case,))[1]

    assert (sample["image"] > 0).float().mean() > 0.5
    assert not sample["distractors"][sample["truth"] > 0].any()


def test_only_clicks_define_the_foreground_of_a_synthetic_sample() -> None:
    sample = make_samples("synthesis.probability=1", "synthesis.unprompted=0", cases=())[5]

    assert sample["needs_click"]
    assert sample["truth"].any()


def test_all_objects_of_an_unprompted_sample_are_foreground() -> None:
    unprompted = make_samples("synthesis.probability=1", "synthesis.unprompted=1")
    prompted = make_samples("synthesis.probability=1", "synthesis.unprompted=0")

    for number in range(10):
        sample, other = unprompted[number], prompted[number]
        assert not sample["needs_click"]
        assert bool((sample["truth"] >= other["truth"]).all())
    assert any(bool((unprompted[n]["truth"] > prompted[n]["truth"]).any()) for n in range(10))


def test_pet_and_ct_show_the_same_objects_with_different_contrast() -> None:
    config = read_config(["pet_lesion", "pet_ct"], [*SMALL, *PLAIN, "synthesis.probability=1"])
    pet_ct_samples = [SampleDataset((), config, count=20)[number] for number in range(20)]

    brighter = [
        [
            float(image[sample["truth"][0] > 0].mean() - image[sample["truth"][0] == 0].mean())
            for image in sample["image"]
        ]
        for sample in pet_ct_samples
    ]

    assert {len(differences) for differences in brighter} == {2}
    assert sum(pet > 0 for pet, _ in brighter) >= 16
    assert 4 <= sum(ct > 0 for _, ct in brighter) <= 16
    correlations = [np.corrcoef(*sample["image"].reshape(2, -1).numpy())[0, 1] for sample in pet_ct_samples]
    assert max(correlations) < 0.98


def test_all_samples_of_a_model_that_requires_clicks_need_one() -> None:
    dataset = make_samples("model.guidance.required=true", "synthesis.probability=0.5", "synthesis.unprompted=1")

    assert all(dataset[number]["needs_click"] for number in range(12))


@pytest.mark.parametrize("number", range(3))
def test_a_sample_has_the_patch_size(small: TrainingConfig, number: int) -> None:
    sample = SampleDataset((make_case(),), small, count=3)[number]

    assert sample["image"].shape == (1, 16, 16, 16)
    assert sample["truth"].shape == sample["distractors"].shape == (1, 16, 16, 16)
