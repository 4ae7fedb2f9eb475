"""Old names of commands, options and environment variables are errors that name the new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickseg.cli.renamed import RENAMED_COMMANDS, RENAMED_OPTIONS
from tests.helpers import runs
from tests.helpers.fake_program import FakeProgram
from tests.helpers.runs import run_clickseg

OPTIONS = [(command, old, new) for command, options in RENAMED_OPTIONS.items() for old, new in options.items()]


@pytest.mark.parametrize("arguments", [[], ["package"], ["package", "--engine", "tensorrt"], ["--help"], ["-q"]])
def test_an_old_command_is_one_error_that_names_the_new_one(arguments: list[str]) -> None:
    for old, new in RENAMED_COMMANDS.items():
        result = run_clickseg(*old.split(), *arguments)

        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"error: clickseg {old} was renamed to clickseg {new}\n"


def test_export_was_renamed_to_models_export() -> None:
    assert RENAMED_COMMANDS["export"] == "models export"


@pytest.mark.parametrize(("command", "old", "new"), OPTIONS, ids=lambda value: value)
@pytest.mark.parametrize("value", ["two words", "one word", "no word"])
def test_an_old_option_is_one_error_that_names_the_new_one(command: str, old: str, new: str, value: str) -> None:
    words = {"two words": [old, "x"], "one word": [f"{old}=x"], "no word": [old]}[value]

    result = run_clickseg(command, *words)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"error: {old} was renamed to {new}\n"


@pytest.mark.parametrize(("command", "old", "new"), OPTIONS, ids=lambda value: value)
def test_the_help_has_the_new_name_only(command: str, old: str, new: str) -> None:
    words = run_clickseg(command, "--help").stdout.replace("[", " ").replace("]", " ").split()

    assert new in words
    assert old not in words


def test_each_old_option_of_a_run_is_listed_for_all_commands_that_had_it() -> None:
    with_remedy = {command for command, options in RENAMED_OPTIONS.items() if options.get("--remedy") == "--repair"}

    assert with_remedy == {"segment", "refine", "inspect"}


def test_an_option_of_another_command_keeps_its_name(tmp_path: Path) -> None:
    """``--series`` was renamed for ``clicks`` only, ``--clicks`` for ``evaluate`` only."""
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, "--series", "9.9", "--clicks", "none")

    assert runs.error_lines(result.stderr)[0].startswith("error: no series 9.9 in the input")


@pytest.mark.parametrize("command", ["segment", "refine", "run", "demo"])
def test_an_old_environment_variable_is_one_error_that_names_the_new_one(tmp_path: Path, command: str) -> None:
    study = runs.write_input(tmp_path / "in")
    words = {
        "segment": ["segment", study, "-o", tmp_path / "out"],
        "refine": ["refine", study, "-o", tmp_path / "out", "--session", tmp_path / "s"],
        "run": ["run", "clickseg:cpu", study, tmp_path / "out"],
        "demo": ["demo", "-o", tmp_path / "out"],
    }
    docker = FakeProgram(tmp_path / "fake")

    result = run_clickseg(*words[command], CLICKSEG_REMEDY="resample", **docker.environ)

    assert result.returncode == 2
    (line,) = runs.error_lines(result.stderr)
    assert line.endswith("CLICKSEG_REMEDY was renamed to CLICKSEG_REPAIR")
    assert not (tmp_path / "out").exists()
    assert docker.calls("run") == []


def test_an_empty_old_environment_variable_is_ignored(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_REMEDY="")

    assert result.returncode == 0, result.stderr
