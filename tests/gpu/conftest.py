"""The device of the tests in this folder, which run on a GPU if there is one.

Without a GPU they run on the CPU, so that the tests themselves are tested. With ``CLICKSEG_TEST_CUDA=1``, which
``scripts/gpu/run`` sets, they fail instead. They import neither OpenVINO nor SimpleITK.
"""

from __future__ import annotations

import os

import pytest

from tests.helpers.oracles import torch


@pytest.fixture(scope="session")
def device() -> str:
    """The device of networks: ``cuda``, or ``cpu`` without a GPU."""
    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("CLICKSEG_TEST_CUDA") == "1":
        pytest.fail("torch finds no CUDA device")
    return "cpu"


@pytest.fixture(scope="session")
def cuda(device: str) -> str:
    """The device ``cuda``; a test that uses it is skipped without a GPU."""
    if device != "cuda":
        pytest.skip("no CUDA device")
    return device
