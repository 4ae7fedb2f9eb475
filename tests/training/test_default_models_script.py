"""``scripts/train-default-models``: a ``clickseg`` that only notes its arguments stands in for hours of training."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from clickseg.cli.parser import parsed
from clickseg.models.package import load_package
from clickseg.training.config import Training, read_config

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "train-default-models"
NOTES = """#!/bin/sh
printf '%s\\n' "$@" > "$RUNS_NOTED/$(ls "$RUNS_NOTED" | wc -l | tr -d ' ')"
mkdir -p "$4"
"""


@pytest.fixture
def noted(tmp_path: Path) -> list[list[str]]:
    """Returns the arguments of each run of ``clickseg`` that the script makes, in order."""
    program, notes = tmp_path / "bin" / "clickseg", tmp_path / "noted"
    program.parent.mkdir()
    notes.mkdir()
    program.write_text(NOTES)
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "RUNS_NOTED": str(notes)}
    subprocess.run([SCRIPT, "data", tmp_path / "runs", "--set", "seed=7"], check=True, env=environment)
    return [(notes / str(number)).read_text().splitlines() for number in range(len(list(notes.iterdir())))]


def test_each_fold_and_all_cases_are_trained_from_one_pretraining_without_patients(noted: list[list[str]]) -> None:
    runs = [parsed(each) for each in noted]
    configurations = [_configuration(each) for each in noted]

    assert [each.fold for each in runs] == [None, *[0, 1, 2, 3, 4, None] * 2]
    assert [each.name for each in configurations] == ["pretrained", *["pet_lesion"] * 6, *["lesion"] * 6]
    assert configurations[0].synthesis.share == 1
    assert {each.initial for each in configurations[1:]} == {str(runs[0].run_folder / "pretrained")}
    assert len({each.run_folder for each in runs}) == len(runs)


def test_arguments_of_the_caller_reach_each_run(noted: list[list[str]]) -> None:
    assert {_configuration(each).seed for each in noted} == {7}


def test_the_models_name_their_data(noted: list[list[str]]) -> None:
    cards = [_configuration(each).card for each in noted[1:]]

    assert all("Soft-tissue-Sarcoma" in each.data_source and len(each.references) == 2 for each in cards)


@pytest.mark.parametrize("name", ["lesion", "pet_lesion"])
def test_the_shipped_model_is_for_what_the_script_makes(noted: list[list[str]], name: str) -> None:
    made = next(each for each in map(_configuration, noted) if each.name == name)

    shipped = load_package(REPOSITORY / "models" / name).spec

    assert shipped.model_copy(update={"weights": {}}) == made.model


def _configuration(arguments: Sequence[str]) -> Training:
    run = parsed(arguments)
    return read_config(run.config, run.set)
