"""Dice coefficients of held-out cases, on the model grid."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clickseg.inference.guidance import ball_offsets
from clickseg.training.cases import GridCase
from clickseg.training.config import TrainingConfig
from clickseg.training.validation import CLICK_COUNTS, validate

CPU = torch.device("cpu")


class BrightOrClicked(torch.nn.Module):
    """A network whose foreground is bright voxels and foreground clicks."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        lesion = inputs[:, :1] + 2 * inputs[:, 1:2] - 2 * inputs[:, 2:3] - 0.5
        return torch.cat([torch.zeros_like(lesion), lesion], dim=1)


def make_case(bright: slice) -> GridCase:
    truth, image = np.zeros((20, 18, 22), np.uint8), np.zeros((1, 20, 18, 22), np.float32)
    truth[4:14, 5:12, 6:16] = 1
    image[0, bright, 5:12, 6:16] = 1
    return GridCase("a_PET", "PT", image, truth)


def test_metrics_are_means_over_the_cases_by_the_number_of_clicks(small: TrainingConfig) -> None:
    state = SimpleNamespace(final_network=BrightOrClicked())

    metrics = validate(small, [make_case(slice(4, 9)), make_case(slice(4, 14))], state, CPU)

    ball, half, full = len(ball_offsets(small.model.guidance.radius_vox)), 350, 700
    assert [*metrics] == [f"val_dice/{count}_clicks" for count in CLICK_COUNTS]
    assert metrics["val_dice/0_clicks"] == pytest.approx((2 * half / (half + full) + 1) / 2)
    assert metrics["val_dice/1_clicks"] == pytest.approx((2 * (half + ball) / (half + ball + full) + 1) / 2)
    assert metrics["val_dice/1_clicks"] < metrics["val_dice/3_clicks"] < metrics["val_dice/5_clicks"] < 1


def test_an_empty_prediction_of_a_case_without_foreground_has_dice_1(small: TrainingConfig) -> None:
    empty = make_case(slice(0, 0))
    healthy = GridCase("healthy", "PT", empty.images, np.zeros_like(empty.truth))

    metrics = validate(small, [healthy], SimpleNamespace(final_network=BrightOrClicked()), CPU)

    assert {*metrics.values()} == {1.0}


def test_without_cases_there_are_no_metrics(small: TrainingConfig) -> None:
    assert validate(small, [], SimpleNamespace(final_network=BrightOrClicked()), CPU) == {}
