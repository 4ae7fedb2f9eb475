"""The configuration of a small run: a tiny network and a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.training_cases import SMALL

if TYPE_CHECKING:
    from clickseg.training.config import TrainingConfig


@pytest.fixture
def small() -> TrainingConfig:
    from clickseg.training.config import read_config  # some Pythons of the test tiers lack its libraries

    return read_config(["pet_lesion"], SMALL)
