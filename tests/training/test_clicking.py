"""The clicks of a batch."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
import torch

from clickseg.clicks.click import Click, Polarity
from clickseg.inference.guidance import balls
from clickseg.training.clicking import BatchClicks
from clickseg.training.config import Clicking, Strategy, Training

SHAPE = (14, 18, 16)
NOTHING = np.zeros(SHAPE, np.uint8)
EXACT = {"jitter_mm": 0.0, "choices": {"largest": 1.0}}


def truth() -> np.ndarray:
    """An asymmetric object."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:9, 3:8, 4:13] = 1
    labels[9:11, 3:5, 4:6] = 1
    return labels


def clicks_of(small: Training, strategy: Strategy, labels: np.ndarray) -> BatchClicks:
    how = Clicking(strategies={strategy: 1.0}, **EXACT)
    return BatchClicks(small.model, how, [labels], np.random.default_rng(0))


def test_a_click_is_drawn_as_inference_draws_it(small: Training) -> None:
    clicks = clicks_of(small, Strategy.ERROR, truth())
    clicks.add(np.zeros((1, *SHAPE), np.uint8), [NOTHING])
    drawn = clicks.channels().numpy()[0]
    centre = tuple(float(each) for each in np.argwhere(drawn[0]).mean(axis=0))
    geometry = hd.VolumeGeometry(np.eye(4), SHAPE, "PATIENT")

    foreground, background = balls([Click("lesion", Polarity.FOREGROUND, centre)], geometry, small.model.guidance)

    assert {*map(tuple, np.argwhere(drawn[0]))} == {*map(tuple, foreground)}
    assert not len(background)
    assert not drawn[1].any()


def test_what_is_false_gets_a_background_click(small: Training) -> None:
    clicks = clicks_of(small, Strategy.ERROR, NOTHING)

    clicks.add(truth()[np.newaxis], [NOTHING])

    drawn = clicks.channels().numpy()[0]
    assert not drawn[0].any()
    assert truth()[tuple(np.argwhere(drawn[1]).mean(axis=0).astype(int))] == 1


def test_corrective_clicks_come_in_pairs(small: Training) -> None:
    clicks, found = clicks_of(small, Strategy.CORRECTIVE, truth()), np.zeros((1, *SHAPE), np.uint8)
    found[0, 12:, 14:, :3] = 1

    clicks.add(found, [NOTHING])

    assert clicks.channels().numpy()[0].any(axis=(1, 2, 3)).tolist() == [True, True]


@pytest.mark.parametrize("strategy", [Strategy.ERROR, Strategy.CORRECTIVE, Strategy.PATCH])
def test_what_is_right_gets_no_click(small: Training, strategy: Strategy) -> None:
    clicks = clicks_of(small, strategy, truth())

    clicks.add(truth()[np.newaxis], [NOTHING])

    assert not clicks.channels().any()


def test_a_first_click_is_only_for_samples_that_ask_for_it(small: Training) -> None:
    clicks = BatchClicks(small.model, Clicking(**EXACT), [truth(), truth(), NOTHING], np.random.default_rng(0))

    clicks.add_first([False, True, True])

    assert clicks.channels().any(dim=(1, 2, 3, 4)).tolist() == [False, True, False]


def test_a_foreground_click_into_a_thing_does_not_say_that_it_is_not_meant(small: Training) -> None:
    objects = np.full(SHAPE, 7, np.uint8)
    clicks = clicks_of(small, Strategy.ERROR, truth())

    clicks.add(np.zeros((1, *SHAPE), np.uint8), [objects])

    assert clicks.channels()[0, 0].any()
    assert bool(clicks.unsaid([objects]).all())


def test_a_thing_is_unsaid_until_it_is_clicked(small: Training) -> None:
    objects, found = np.zeros(SHAPE, np.uint8), np.zeros((1, *SHAPE), np.uint8)
    objects[:3, :3, :3], objects[11:, 13:, 10:] = 7, 9
    found[0, 11:, 13:, 10:] = 1
    clicks = clicks_of(small, Strategy.ERROR, NOTHING)
    before = clicks.unsaid([objects]).numpy()[0]

    clicks.add(found, [objects])

    assert np.array_equal(before, objects > 0)
    assert np.array_equal(clicks.unsaid([objects]).numpy()[0], objects == 7)


def test_a_hand_that_shakes_says_the_thing_that_was_meant(small: Training) -> None:
    objects, found = np.zeros(SHAPE, np.uint8), np.zeros((1, *SHAPE), np.uint8)
    objects[5:7, 5:7, 5:7], found[0, 5:7, 5:7, 5:7] = 7, 1
    how = Clicking(strategies={Strategy.ERROR: 1.0}, choices={"largest": 1.0}, jitter_mm=100)
    clicks = BatchClicks(small.model, how, [NOTHING], np.random.default_rng(0))

    clicks.add(found, [objects])

    assert not clicks.channels()[0, 1][torch.from_numpy(objects > 0)].any()
    assert not clicks.unsaid([objects]).any()
