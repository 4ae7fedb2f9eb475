"""The memory layout channels last: which networks use it, and that the logits are the same and accurate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.torch_engine import memory_layout
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from tests.helpers.networks import NETWORK, make_package
from tests.helpers.oracles import nets, torch

UNET = {key: value for key, value in NETWORK.items() if key != "_target_"}
BATCH = np.random.default_rng(0).normal(size=(1, 3, 8, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    "network",
    [
        NETWORK | {"norm": "batch"},
        {"_target_": "monai.networks.nets.SegResNet", "in_channels": 3, "out_channels": 2, "norm": "batch"},
        {"_target_": "monai.networks.nets.SegResNetDS", "spatial_dims": 3, "in_channels": 3, "out_channels": 2}
        | {"init_filters": 8, "blocks_down": [1, 2]},
        {"_target_": "monai.networks.nets.HighResNet", "in_channels": 3, "out_channels": 2},
    ],
    ids=lambda network: network["_target_"].rpartition(".")[2],
)
def test_the_logits_do_not_depend_on_the_memory_layout(tmp_path: Path, network: dict[str, object]) -> None:
    engine = make_engine(make_package(tmp_path / "net", network), RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    assert engine._layout is torch.channels_last_3d
    logits = engine.infer(BATCH)

    channels_first = engine._network.to(memory_format=torch.contiguous_format)
    with torch.inference_mode():
        expected = channels_first(torch.from_numpy(BATCH)).numpy()

    assert logits.flags.c_contiguous
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("norm", "device", "precision", "layout"),
    [
        (("group", {"num_groups": 2}), "cpu", Precision.F32, torch.contiguous_format),
        (("group", {"num_groups": 2}), "cuda", Precision.F16, torch.channels_last_3d),
        ("batch", "cpu", Precision.F32, torch.channels_last_3d),
        ("batch", "cuda", Precision.F16, torch.channels_last_3d),
        ("batch", "cuda", Precision.F32, torch.contiguous_format),
        ("instance", "cpu", Precision.BF16, torch.contiguous_format),
        ("instance", "cuda", Precision.F16, torch.contiguous_format),
    ],
)
def test_the_layout_depends_on_network_device_and_precision(
    norm: object, device: str, precision: Precision, layout: object
) -> None:
    assert memory_layout(nets.UNet(**UNET, norm=norm), device, precision) is layout


def test_torchscript_stays_channels_first() -> None:
    script = torch.jit.trace(nets.UNet(**UNET, norm="batch").eval(), torch.from_numpy(BATCH))

    assert memory_layout(script, "cpu", Precision.F32) is torch.contiguous_format
