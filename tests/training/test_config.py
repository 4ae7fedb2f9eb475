"""Training configurations: presets, files that override presets, single values that override both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clickseg.core.errors import InputError, UsageError
from clickseg.inference.engines.network import build_from_definition
from clickseg.training.config import config_to_yaml, merge_configs, preset_names, read_config
from clickseg.training.network import check_network
from clickseg.training.renamed_keys import RENAMED_KEYS


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_is_complete_and_builds_its_network(name: str) -> None:
    config = read_config(["pet_lesion", name], [])

    network = build_from_definition(config.network, name)

    assert sum(weights.numel() for weights in network.parameters()) > 0
    assert config.network["in_channels"] == config.model.input_channels


SW_FASTEDIT = ("pet_lesion", "sw_fastedit")
PRESET_COMBINATIONS = [
    ("pet_lesion",),
    ("pet_lesion", "lesion"),
    ("pet_lesion", "pet_ct"),
    ("pet_lesion", "segresnet"),
    ("pet_lesion", "lesion", "segresnet"),
    SW_FASTEDIT,
    *((*SW_FASTEDIT, f"sw_fastedit_{size}") for size in ("small", "big", "huge")),
]


@pytest.mark.parametrize("gpu", [None, "gpu_11gb", "gpu_24gb"])
@pytest.mark.parametrize("presets", PRESET_COMBINATIONS, ids="+".join)
def test_documented_combinations_of_presets_are_valid(presets: tuple[str, ...], gpu: str | None) -> None:
    needs_large_strides = presets[-1] in ("sw_fastedit_big", "sw_fastedit_huge") and gpu == "gpu_11gb"
    config = read_config([*presets, *([gpu] if gpu else [])], ["patch_size=[128,64,64]"] if needs_large_strides else [])
    with torch.device("meta"):
        network = build_from_definition(config.network, "network")

        check_network(network, config, torch.device("meta"))

    assert all(weights.is_meta for weights in network.parameters())  # the check needs no memory


def test_each_preset_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()

    assert {name for name in preset_names() if f"presets/{name}.yaml" not in text} == set()


def test_a_configuration_is_unchanged_by_writing_and_reading(tmp_path: Path) -> None:
    config = read_config(["pet_lesion"], ["optimization.learning_rate=0.02", "clicking.strategies={non_corrective: 1}"])
    (tmp_path / "config.yaml").write_text(config_to_yaml(config))

    assert read_config([str(tmp_path / "config.yaml")], []) == config


def test_a_later_file_overrides_a_preset_and_a_value_overrides_both(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("epochs: 3\nsteps_per_epoch: 4\n")

    config = read_config(["pet_lesion", str(tmp_path / "a.yaml")], ["steps_per_epoch=5"])

    assert (config.epochs, config.steps_per_epoch) == (3, 5)


def test_a_later_network_replaces_an_earlier_network() -> None:
    assert merge_configs({"network": {"_target_": "a", "x": 1}}, {"network": {"_target_": "b"}}) == {
        "network": {"_target_": "b"}
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs=0", "epochs"),
        ("epoch=3", "unknown field"),
        ("clicking.strategies={}", "expected at least one weight above 0"),
        ("model.activation=sigmoid", "expected softmax"),
        ("model.guidance=null", "clicking.max_rounds"),
        ("optimization.learning_rate=.nan", "learning_rate"),
        ("name=../x", "name"),
        ("patch_size=[60000,60000,60000]", "patch_size"),
        ("synthesis.appearances=[]", "synthesis.appearances"),
    ],
)
def test_an_invalid_value_is_named(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config(["pet_lesion"], [change])


WINDOWS_OF_NNUNET = ("model.window.placement=even", "model.window.mode=nnunet")


def test_a_model_can_have_mirror_axes() -> None:
    config = read_config(["pet_lesion"], ["model.mirror_axes=[0, 1]", "loss.target=stitched"])

    assert config.model.mirror_axes == (0, 1)


def test_a_model_can_have_the_windows_of_nnunet_unless_the_loss_is_computed_on_windows() -> None:
    config = read_config(["pet_lesion"], WINDOWS_OF_NNUNET)

    assert (config.model.window.placement, config.model.window.mode) == ("even", "nnunet")
    for change in WINDOWS_OF_NNUNET:
        with pytest.raises(InputError, match=r"loss\.target stitched: expected window\.placement fixed"):
            read_config(["pet_lesion"], ["loss.target=stitched", change])


def test_the_error_for_a_partial_preset_names_the_preset_that_it_extends() -> None:
    with pytest.raises(InputError, match="missing") as raised:
        read_config(["lesion"], [])

    assert "-c pet_lesion -c lesion" in str(raised.value.hint)


@pytest.mark.parametrize("change", ["epochs", "=3", "a..b=3"])
def test_a_change_must_be_a_path_and_a_value(change: str) -> None:
    with pytest.raises(UsageError, match="KEY=VALUE"):
        read_config(["pet_lesion"], [change])


def test_yaml_tags_do_not_execute_code(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: !!python/object/apply:os.mkdir [created]\n")

    with pytest.raises(InputError, match="expected valid YAML"):
        read_config([str(tmp_path / "bad.yaml")], [])


def test_the_error_for_a_missing_file_lists_the_presets() -> None:
    with pytest.raises(InputError, match="cannot be read") as raised:
        read_config(["missing"], [])

    assert "pet_lesion" in str(raised.value.hint)


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_a_renamed_key_is_rejected_with_its_new_name(old: str, new: str) -> None:
    with pytest.raises(InputError, match=f"{old}=1: {old} was renamed to {new}$"):
        read_config(["pet_lesion"], [f"{old}=1"])


def test_new_names_of_renamed_keys_exist_and_old_names_do_not() -> None:
    strategies = "clicking.strategies={largest_error: 1, corrective: 1, patch_based: 1, non_corrective: 1}"
    config = read_config(["pet_lesion"], [strategies]).model_dump(mode="json")
    sections = {key: section for key, section in config.items() if isinstance(section, dict)}
    paths = {*config, *(f"{key}.{name}" for key, section in sections.items() for name in section)}
    paths |= {f"clicking.strategies.{strategy}" for strategy in config["clicking"]["strategies"]}

    assert {*RENAMED_KEYS.values()} <= paths
    assert not {*RENAMED_KEYS} & paths


def test_a_file_with_several_renamed_keys_lists_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("batch: 1\nclicking: {most: 3, patch: [8, 8, 8]}\n")

    with pytest.raises(InputError, match=r"(?m)old\.yaml: batch was renamed to batch_size$") as raised:
        read_config(["pet_lesion", str(tmp_path / "old.yaml")], [])

    assert raised.value.hint == (
        "also renamed: clicking.most to clicking.max_rounds, clicking.patch to clicking.patch_size"
    )
