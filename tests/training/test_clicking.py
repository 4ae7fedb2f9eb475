"""The simulated clicks of a batch."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
import torch

from clickseg.clicks.click import Click, Polarity
from clickseg.inference.guidance import rasterize_clicks
from clickseg.training.clicking import BatchClicks
from clickseg.training.config import ClickingConfig, Strategy, TrainingConfig

SHAPE = (14, 18, 16)
EMPTY = np.zeros(SHAPE, np.uint8)
EXACT = {"jitter_mm": 0.0, "voxel_sampling": {"largest": 1.0}}


def make_truth() -> np.ndarray:
    """Returns the mask of an asymmetric object."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:9, 3:8, 4:13] = 1
    mask[9:11, 3:5, 4:6] = 1
    return mask


def make_clicks(small: TrainingConfig, strategy: Strategy, truth: np.ndarray) -> BatchClicks:
    config = ClickingConfig(strategies={strategy: 1.0}, **EXACT)
    return BatchClicks(small.model, config, [truth], np.random.default_rng(0))


def test_a_click_is_rasterized_as_in_inference(small: TrainingConfig) -> None:
    clicks = make_clicks(small, Strategy.LARGEST_ERROR, make_truth())
    clicks.add_round(np.zeros((1, *SHAPE), np.uint8), [EMPTY])
    channels = clicks.guidance_channels().numpy()[0]
    centre = tuple(float(index) for index in np.argwhere(channels[0]).mean(axis=0))
    geometry = hd.VolumeGeometry(np.eye(4), SHAPE, "PATIENT")

    foreground, background = rasterize_clicks(
        [Click("lesion", Polarity.FOREGROUND, centre)], geometry, small.model.guidance
    )

    assert {*map(tuple, np.argwhere(channels[0]))} == {*map(tuple, foreground)}
    assert not len(background)
    assert not channels[1].any()


def test_a_false_positive_gets_a_background_click(small: TrainingConfig) -> None:
    clicks = make_clicks(small, Strategy.LARGEST_ERROR, EMPTY)

    clicks.add_round(make_truth()[np.newaxis], [EMPTY])

    channels = clicks.guidance_channels().numpy()[0]
    assert not channels[0].any()
    assert make_truth()[tuple(np.argwhere(channels[1]).mean(axis=0).astype(int))] == 1


def test_corrective_clicks_are_one_foreground_and_one_background_click(small: TrainingConfig) -> None:
    clicks, predictions = make_clicks(small, Strategy.CORRECTIVE, make_truth()), np.zeros((1, *SHAPE), np.uint8)
    predictions[0, 12:, 14:, :3] = 1

    clicks.add_round(predictions, [EMPTY])

    assert clicks.guidance_channels().numpy()[0].any(axis=(1, 2, 3)).tolist() == [True, True]


@pytest.mark.parametrize("strategy", [Strategy.LARGEST_ERROR, Strategy.CORRECTIVE, Strategy.PATCH_BASED])
def test_a_correct_prediction_gets_no_click(small: TrainingConfig, strategy: Strategy) -> None:
    clicks = make_clicks(small, strategy, make_truth())

    clicks.add_round(make_truth()[np.newaxis], [EMPTY])

    assert not clicks.guidance_channels().any()


def test_only_samples_that_need_a_click_get_an_initial_click(small: TrainingConfig) -> None:
    clicks = BatchClicks(
        small.model, ClickingConfig(**EXACT), [make_truth(), make_truth(), EMPTY], np.random.default_rng(0)
    )

    clicks.add_initial_clicks([False, True, True])

    assert clicks.guidance_channels().any(dim=(1, 2, 3, 4)).tolist() == [False, True, False]


def test_a_distractor_with_a_foreground_click_is_still_ignored(small: TrainingConfig) -> None:
    distractors = np.full(SHAPE, 7, np.uint8)
    clicks = make_clicks(small, Strategy.LARGEST_ERROR, make_truth())

    clicks.add_round(np.zeros((1, *SHAPE), np.uint8), [distractors])

    assert clicks.guidance_channels()[0, 0].any()
    assert bool(clicks.ignored_voxels([distractors]).all())


def test_a_distractor_is_ignored_until_it_has_a_background_click(small: TrainingConfig) -> None:
    distractors, predictions = np.zeros(SHAPE, np.uint8), np.zeros((1, *SHAPE), np.uint8)
    distractors[:3, :3, :3], distractors[11:, 13:, 10:] = 7, 9
    predictions[0, 11:, 13:, 10:] = 1
    clicks = make_clicks(small, Strategy.LARGEST_ERROR, EMPTY)
    ignored_before = clicks.ignored_voxels([distractors]).numpy()[0]

    clicks.add_round(predictions, [distractors])

    assert np.array_equal(ignored_before, distractors > 0)
    assert np.array_equal(clicks.ignored_voxels([distractors]).numpy()[0], distractors == 7)


def test_a_click_with_jitter_belongs_to_the_intended_distractor(small: TrainingConfig) -> None:
    distractors, predictions = np.zeros(SHAPE, np.uint8), np.zeros((1, *SHAPE), np.uint8)
    distractors[5:7, 5:7, 5:7], predictions[0, 5:7, 5:7, 5:7] = 7, 1
    config = ClickingConfig(strategies={Strategy.LARGEST_ERROR: 1.0}, voxel_sampling={"largest": 1.0}, jitter_mm=100)
    clicks = BatchClicks(small.model, config, [EMPTY], np.random.default_rng(0))

    clicks.add_round(predictions, [distractors])

    assert not clicks.guidance_channels()[0, 1][torch.from_numpy(distractors > 0)].any()
    assert not clicks.ignored_voxels([distractors]).any()
