"""The model package of a training run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.network import build_from_definition
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import load_package
from clickseg.training.config import TrainingConfig, read_config
from clickseg.training.package import render_model_card, write_bundle
from tests.helpers.training_cases import SMALL


def write_network(config: TrainingConfig, folder: Path) -> torch.nn.Module:
    torch.manual_seed(1)
    network = build_from_definition(config.network, "network").eval()
    write_bundle(config, network, {"training cases": "7"}, folder)
    return network


def test_both_runtimes_agree_with_the_trained_network(small: TrainingConfig, tmp_path: Path) -> None:
    network = write_network(small, tmp_path / "small")
    window = np.random.default_rng(0).random((1, 3, 16, 16, 16)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(window)).numpy()

    package = load_package(tmp_path / "small")
    for runtime in (Runtime.TORCH, Runtime.OPENVINO):
        logits = make_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32)).infer(window)
        assert np.abs(logits - expected).max() < 0.02 * np.abs(expected).max()


def test_weights_are_stored_in_two_bytes(small: TrainingConfig, tmp_path: Path) -> None:
    network = write_network(small, tmp_path / "small")
    count = sum(weights.numel() for weights in network.parameters())

    for name in ("model.pt", "model.bin"):
        assert (tmp_path / "small" / "models" / name).stat().st_size < 2 * count + 30_000


def test_integers_are_not_rounded(tmp_path: Path) -> None:
    layers = "spatial_dims: 3, in_channels: 3, out_channels: 2, channels: [4, 8], strides: [2], norm: batch"
    config = read_config(["pet_lesion"], [*SMALL, f"network={{_target_: monai.networks.nets.UNet, {layers}}}"])
    network = build_from_definition(config.network, "network").eval()
    counts = [values for name, values in network.named_buffers() if name.endswith("num_batches_tracked")]
    for count in counts:
        count.fill_(70_001)

    write_bundle(config, network, {}, tmp_path / "small")

    state = torch.load(tmp_path / "small" / "models" / "model.pt", weights_only=True)
    assert counts
    assert (tmp_path / "small" / "models" / "model.bin").stat().st_size < 3 * sum(
        weights.numel() for weights in state.values()
    )
    assert [int(values) for name, values in state.items() if name.endswith("num_batches_tracked")] == [70_001] * len(
        counts
    )


def test_values_that_overflow_f16_are_not_rounded(tmp_path: Path) -> None:
    config = read_config(["pet_lesion"], [*SMALL, "network.norm_name=batch"])
    network = build_from_definition(config.network, "network").eval()
    name, variance = next((name, values) for name, values in network.named_buffers() if name.endswith("running_var"))
    variance.fill_(1e5)

    write_bundle(config, network, {}, tmp_path / "small")

    state = torch.load(tmp_path / "small" / "models" / "model.pt", weights_only=True)
    assert torch.equal(state[name], variance)
    window = np.random.default_rng(0).random((1, 3, 16, 16, 16)).astype(np.float32)
    logits = [
        make_engine(load_package(tmp_path / "small"), RuntimeSettings(runtime, "cpu", Precision.F32)).infer(window)
        for runtime in (Runtime.TORCH, Runtime.OPENVINO)
    ]
    np.testing.assert_allclose(*logits, atol=1e-3 * np.abs(logits[0]).max())


def test_the_card_states_that_clicks_are_required(tmp_path: Path) -> None:
    config = read_config(["pet_lesion", "lesion"], SMALL)

    write_network(config, tmp_path / "small")

    card = (tmp_path / "small" / "docs" / "README.md").read_text()
    assert "| clicks | balls of radius 2 voxels, 2 channels; requires at least one foreground click |" in card
    assert "| postprocessing | for each class with foreground clicks, keeps" in card


def test_the_card_escapes_html_and_table_bars() -> None:
    script = "<script>alert(1)</script>"
    config = read_config(["pet_lesion"], [*SMALL, f"card.title='{script}'", f"card.references=['{script}']"])

    card = render_model_card(config, {script: "1 | 2\n| 3"})

    assert "<script" not in card
    assert card.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3
    assert "&lt;/script&gt; | 1 \\| 2 \\| 3 |\n" in card


def test_metadata_and_card_describe_the_model(tmp_path: Path) -> None:
    config = read_config(["pet_lesion"], [*SMALL, "card.references=['A, B (2020) C 1, 2']", "card.copyright=CC BY 3.0"])
    write_network(config, tmp_path / "small")

    metadata = json.loads((tmp_path / "small" / "configs" / "metadata.json").read_text())
    card = (tmp_path / "small" / "docs" / "README.md").read_text()

    assert metadata["network_data_format"]["inputs"]["image"]["channel_def"] == {
        "0": "pet",
        "1": "foreground clicks of lesion",
        "2": "background clicks of lesion",
    }
    assert load_package(tmp_path / "small").spec.model_copy(update={"weights": {}}) == config.model
    assert "| training cases | 7 |" in card
    assert "- A, B (2020) C 1, 2" in card
    assert "CC BY 3.0" in card
