"""Normalizations are accurate in f32, also where a part of the window is constant, as air is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset2, opset13

from clickseg.core.arrays import Float32Array
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.normalization import make_normalization_accurate
from clickseg.inference.engines.torch_engine import load_module
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from tests.helpers import phantoms
from tests.helpers.networks import NETWORK, make_exported_package
from tests.helpers.oracles import torch

SECTION = phantoms.metadata(guidance=phantoms.GUIDANCE, window={"roi": [48, 56, 64]})


def window_with_air() -> Float32Array:
    """Returns a window [1, C, I, J, K] whose first half is constant, and the rest varies by 1 % around a slope."""
    window = np.linspace(0, 1, 64) + np.random.default_rng(3).normal(size=(1, 3, 48, 56, 64)) * 0.01
    window[:, :, :24] = -1
    return window.astype(np.float32)


@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.OPENVINO])
@pytest.mark.parametrize(
    "norm",
    ["instance", ["instance", {"affine": True}], ["group", {"num_groups": 2}]],
    ids=["instance", "affine", "group"],
)
def test_a_window_with_a_constant_part_has_the_logits_of_f64(tmp_path: Path, runtime: Runtime, norm: object) -> None:
    package = make_exported_package(tmp_path / "net", NETWORK | {"norm": norm}, SECTION)
    window = window_with_air()
    with torch.inference_mode():
        expected = load_module(package).eval().double()(torch.from_numpy(window).double()).numpy()

    logits = make_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32)).infer(window)

    assert np.linalg.norm(logits - expected) / np.linalg.norm(expected) < 3e-5


@pytest.mark.parametrize("axes", [[-1], [1, 2, 3, 4], [1]], ids=str)
def test_other_normalizations_stay_as_they_are(axes: list[int]) -> None:
    values = opset13.parameter([1, 4, 6, 5, 7], np.float32)
    operations = [
        opset13.mvn(values, np.array(axes), normalize_variance=True, eps=1e-5, eps_mode="inside_sqrt"),
        opset2.mvn(values, across_channels=False, normalize_variance=True, eps=1e-5),
    ]
    for operation in operations:
        network = ov.Model([operation], [values])
        kinds = [each.get_type_name() for each in network.get_ordered_ops()]

        make_normalization_accurate(network)

        assert [each.get_type_name() for each in network.get_ordered_ops()] == kinds
