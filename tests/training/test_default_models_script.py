"""``scripts/train-default-models``, with a fake ``clickseg`` that only records its arguments."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from clickseg.cli.parser import parse_arguments
from clickseg.models.package import load_package
from clickseg.training.config import TrainingConfig, read_config

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "train-default-models"
FAKE_CLICKSEG = """#!/bin/sh
printf '%s\\n' "$@" > "$RECORDED_RUNS/$(ls "$RECORDED_RUNS" | wc -l | tr -d ' ')"
mkdir -p "$4"
"""


@pytest.fixture
def recorded(tmp_path: Path) -> list[list[str]]:
    """Returns the arguments of each call of ``clickseg`` by the script, in order."""
    program, records = tmp_path / "bin" / "clickseg", tmp_path / "recorded"
    program.parent.mkdir()
    records.mkdir()
    program.write_text(FAKE_CLICKSEG)
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "RECORDED_RUNS": str(records)}
    subprocess.run([SCRIPT, "data", tmp_path / "runs", "--set", "seed=7"], check=True, env=environment)
    return [(records / str(number)).read_text().splitlines() for number in range(len(list(records.iterdir())))]


def test_each_fold_and_the_final_models_start_from_one_network_trained_without_patients(
    recorded: list[list[str]],
) -> None:
    runs = [parse_arguments(arguments) for arguments in recorded]
    configs = [_read_config(arguments) for arguments in recorded]

    assert [run.fold for run in runs] == [None, *[0, 1, 2, 3, 4, None] * 2]
    assert [config.name for config in configs] == ["pretrained", *["pet_lesion"] * 6, *["lesion"] * 6]
    assert configs[0].synthesis.probability == 1
    assert {config.initial_weights for config in configs[1:]} == {str(runs[0].run_folder / "pretrained")}
    assert len({run.run_folder for run in runs}) == len(runs)


def test_additional_arguments_are_passed_to_each_run(recorded: list[list[str]]) -> None:
    assert {_read_config(arguments).seed for arguments in recorded} == {7}


def test_the_model_cards_name_the_training_data(recorded: list[list[str]]) -> None:
    cards = [_read_config(arguments).card for arguments in recorded[1:]]

    assert all("Soft-tissue-Sarcoma" in card.data_source and len(card.references) == 2 for card in cards)


@pytest.mark.parametrize("name", ["lesion", "pet_lesion"])
def test_the_shipped_model_has_the_specification_of_the_script(recorded: list[list[str]], name: str) -> None:
    config = next(config for config in map(_read_config, recorded) if config.name == name)

    shipped = load_package(REPOSITORY / "models" / name).spec

    assert shipped.model_copy(update={"weights": {}}) == config.model


def _read_config(arguments: Sequence[str]) -> TrainingConfig:
    run = parse_arguments(arguments)
    return read_config(run.config, run.set)
