"""A small run: a tiny network, two cases that are made here, a few steps."""

from __future__ import annotations

import pytest

from clickseg.training.config import Training, read_config

SMALL = (
    "patch=[16,16,16]",
    "epochs=2",
    "steps=2",
    "network.filters=[4,8,8]",
    "network.kernel_size=[3,3,3]",
    "network.strides=[1,2,2]",
    "network.upsample_kernel_size=[2,2]",
    "model.window.roi=[16,16,16]",
    "clicking.most=2",
    "clicking.patch=[8,8,8]",
    "optimization.precision=f32",
)


@pytest.fixture
def small() -> Training:
    return read_config(["pet_lesion"], SMALL)
