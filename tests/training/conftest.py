"""A small run: a tiny network, two cases that are made here, a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.training_cases import SMALL

if TYPE_CHECKING:
    from clickseg.training.config import Training


@pytest.fixture
def small() -> Training:
    from clickseg.training.config import (
        read_config,  # its libraries are not installed with every Python that runs tests
    )

    return read_config(["pet_lesion"], SMALL)
