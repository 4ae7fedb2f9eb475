"""Dice coefficients of cases that are held out, on the model grid."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clickseg.inference.guidance import ball_offsets
from clickseg.training.cases import GridCase
from clickseg.training.config import Training
from clickseg.training.validation import SHOWN, validate

CPU = torch.device("cpu")


class Obedient(torch.nn.Module):
    """A network that finds what is bright, and what is clicked."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        lesion = inputs[:, :1] + 2 * inputs[:, 1:2] - 2 * inputs[:, 2:3] - 0.5
        return torch.cat([torch.zeros_like(lesion), lesion], dim=1)


def case(bright: slice) -> GridCase:
    truth, image = np.zeros((20, 18, 22), np.uint8), np.zeros((1, 20, 18, 22), np.float32)
    truth[4:14, 5:12, 6:16] = 1
    image[0, bright, 5:12, 6:16] = 1
    return GridCase("a_PET", "PT", image, truth)


def test_figures_are_the_means_over_the_cases_by_the_number_of_clicks(small: Training) -> None:
    state = SimpleNamespace(best_network=Obedient())

    found = validate(small, [case(slice(4, 9)), case(slice(4, 14))], state, CPU)

    ball, half, whole = len(ball_offsets(small.model.guidance.radius_vox)), 350, 700
    assert [*found] == [f"dice/{count} clicks" for count in SHOWN]
    assert found["dice/0 clicks"] == pytest.approx((2 * half / (half + whole) + 1) / 2)
    assert found["dice/1 clicks"] == pytest.approx((2 * (half + ball) / (half + ball + whole) + 1) / 2)
    assert found["dice/1 clicks"] < found["dice/3 clicks"] < found["dice/5 clicks"] < 1


def test_nothing_found_where_nothing_is_counts_as_right(small: Training) -> None:
    empty = case(slice(0, 0))
    nothing = GridCase("nothing", "PT", empty.images, np.zeros_like(empty.truth))

    found = validate(small, [nothing], SimpleNamespace(best_network=Obedient()), CPU)

    assert {*found.values()} == {1.0}


def test_there_are_no_figures_without_cases(small: Training) -> None:
    assert validate(small, [], SimpleNamespace(best_network=Obedient()), CPU) == {}
