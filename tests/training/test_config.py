"""Configurations: presets, files over presets, single values over both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clickseg.core.errors import InputError, UsageError
from clickseg.inference.engines.network import network_of
from clickseg.training.config import as_yaml, merged, preset_names, read_config
from clickseg.training.network import check_network


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_is_whole_and_builds_its_network(name: str) -> None:
    how = read_config(["pet_lesion", name], [])

    network = network_of(how.network, name)

    assert sum(each.numel() for each in network.parameters()) > 0
    assert how.network["in_channels"] == how.model.input_channels


SW_FASTEDIT = ("pet_lesion", "sw_fastedit")
ROOTS = [
    ("pet_lesion",),
    ("pet_lesion", "lesion"),
    ("pet_lesion", "pet_ct"),
    ("pet_lesion", "segresnet"),
    ("pet_lesion", "lesion", "segresnet"),
    SW_FASTEDIT,
    *((*SW_FASTEDIT, f"sw_fastedit_{size}") for size in ("small", "big", "huge")),
]


@pytest.mark.parametrize("gpu", [None, "gpu_11gb", "gpu_24gb"])
@pytest.mark.parametrize("presets", ROOTS, ids="+".join)
def test_presets_that_are_documented_together_fit_each_other(presets: tuple[str, ...], gpu: str | None) -> None:
    deep = presets[-1] in ("sw_fastedit_big", "sw_fastedit_huge") and gpu == "gpu_11gb"
    how = read_config([*presets, *([gpu] if gpu else [])], ["patch=[128,64,64]"] if deep else [])
    with torch.device("meta"):
        network = network_of(how.network, "network")

        check_network(network, how, torch.device("meta"))

    assert all(each.is_meta for each in network.parameters())  # a shape is all that it takes


def test_each_preset_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()

    assert {name for name in preset_names() if f"presets/{name}.yaml" not in text} == set()


def test_what_is_printed_is_read_back(tmp_path: Path) -> None:
    how = read_config(["pet_lesion"], ["optimization.learning_rate=0.02", "clicking.strategies={any: 1}"])
    (tmp_path / "config.yaml").write_text(as_yaml(how))

    assert read_config([str(tmp_path / "config.yaml")], []) == how


def test_a_later_file_counts_and_a_value_counts_more(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("epochs: 3\nsteps: 4\n")

    how = read_config(["pet_lesion", str(tmp_path / "a.yaml")], ["steps=5"])

    assert (how.epochs, how.steps) == (3, 5)


def test_a_network_replaces_the_one_before_it() -> None:
    assert merged({"network": {"_target_": "a", "x": 1}}, {"network": {"_target_": "b"}}) == {
        "network": {"_target_": "b"}
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs=0", "epochs"),
        ("epoch=3", "unknown field"),
        ("clicking.strategies={}", "expected one above 0"),
        ("model.activation=sigmoid", "expected softmax"),
        ("model.guidance=null", "clicking.most"),
        ("optimization.learning_rate=.nan", "learning_rate"),
        ("name=../x", "name"),
        ("patch=[60000,60000,60000]", "patch"),
        ("synthesis.looks=[]", "synthesis.looks"),
    ],
)
def test_what_does_not_fit_is_named(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config(["pet_lesion"], [change])


def test_a_preset_that_is_not_whole_says_over_which_one_it_lies() -> None:
    with pytest.raises(InputError, match="missing") as raised:
        read_config(["lesion"], [])

    assert "-c pet_lesion -c lesion" in str(raised.value.hint)


@pytest.mark.parametrize("change", ["epochs", "=3", "a..b=3"])
def test_a_change_is_a_path_and_a_value(change: str) -> None:
    with pytest.raises(UsageError, match="PATH=VALUE"):
        read_config(["pet_lesion"], [change])


def test_yaml_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: !!python/object/apply:os.mkdir [made]\n")

    with pytest.raises(InputError, match="not YAML"):
        read_config([str(tmp_path / "bad.yaml")], [])


def test_a_file_that_is_not_there_says_what_there_is() -> None:
    with pytest.raises(InputError, match="cannot be read") as raised:
        read_config(["nothing"], [])

    assert "pet_lesion" in str(raised.value.hint)
