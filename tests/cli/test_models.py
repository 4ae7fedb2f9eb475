"""``clickseg models``: lists model packages, and exports their weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.runs import REPOSITORY, run_clickseg


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


@pytest.mark.parametrize("command", [["models"], ["models", "list"]], ids=" ".join)
def test_models_are_listed(command: list[str], models: Path) -> None:
    result = run_clickseg(*command, "-m", models)

    assert (result.returncode, result.stdout) == (0, f"thresholder 1.2.3: CT -> hook ({models / 'thresholder'})\n")


def test_list_also_takes_the_options_before_its_name(models: Path) -> None:
    before, after = (
        run_clickseg("models", "-q", "-m", models, "list"),
        run_clickseg("models", "list", "-q", "-m", models),
    )

    assert (before.returncode, before.stdout) == (0, after.stdout)


def test_the_default_models_are_listed() -> None:
    lines = run_clickseg("models", "list").stdout

    assert "lesion 0.1.0: PT or CT or MR -> lesion or tumor" in lines
    assert "pet_lesion 0.2.0: PT -> lesion or tumor" in lines


@pytest.mark.parametrize("command", [["models"], ["models", "list"]], ids=" ".join)
def test_an_invalid_model_does_not_hide_the_others(command: list[str], models: Path) -> None:
    (models / "a" / "configs").mkdir(parents=True)
    (models / "a" / "configs" / "metadata.json").write_text("{")

    result = run_clickseg(*command, "-m", models)

    assert (result.returncode, result.stdout.startswith("thresholder 1.2.3")) == (1, True)
    assert runs.error_lines(result.stderr)[0].startswith("error: model a: metadata.json: not JSON")


def test_the_help_names_each_command_of_models() -> None:
    text = run_clickseg("models", "--help").stdout

    assert "usage: clickseg models" in text
    assert all(f"\n    {name} " in text for name in ("list", "export"))
    assert "Without COMMAND, list is run." in text


def test_an_unknown_command_of_models_is_a_usage_error() -> None:
    result = run_clickseg("models", "imprt")

    assert result.returncode == 2
    assert "invalid choice: 'imprt' (choose from" in result.stderr


def test_export_to_openvino_rejects_f16() -> None:
    result = run_clickseg("models", "export", REPOSITORY / "models" / "pet_lesion", "--precision", "f16")

    assert (result.returncode, result.stdout) == (2, "")
    assert runs.error_lines(result.stderr) == [
        "error: --precision: expected f32 or int8 for OpenVINO, got f16",
        "hint: f16 requires --engine tensorrt",
    ]


def test_export_in_int8_needs_series_to_calibrate_on() -> None:
    result = run_clickseg("models", "export", REPOSITORY / "models" / "pet_lesion", "--precision", "int8")

    assert result.returncode == 2
    assert runs.error_lines(result.stderr) == [
        "error: int8 requires DICOM series for calibration",
        "hint: pass their folder with --calibrate DIR",
    ]


def test_export_rejects_the_options_of_list(models: Path) -> None:
    result = run_clickseg("models", "-m", models, "export", models / "thresholder")

    assert result.returncode == 2
    assert runs.error_lines(result.stderr) == [
        "error: -m is an option of clickseg models list, not of clickseg models export"
    ]
