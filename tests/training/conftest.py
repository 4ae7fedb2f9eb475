"""A small run: a tiny network, two cases that are made here, a few steps."""

from __future__ import annotations

import pytest

from clickseg.training.config import Training, read_config
from tests.helpers.training_cases import SMALL


@pytest.fixture
def small() -> Training:
    return read_config(["pet_lesion"], SMALL)
