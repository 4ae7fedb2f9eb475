"""Each command as a separate process, as users start it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.runs import REPOSITORY

pytestmark = pytest.mark.slow


def test_a_study_is_inspected_segmented_and_refined(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")
    session = ["-m", models, "--session", tmp_path / "session"]

    inspected = runs.run_clickseg_process("inspect", study, "--json")
    segmented = runs.run_clickseg_process("segment", study, "-o", tmp_path / "first", *session)
    refined = runs.run_clickseg_process("refine", study, "-o", tmp_path / "second", *session, "--reset")

    assert [inspected.returncode, segmented.returncode, refined.returncode] == [0, 0, 0], refined.stderr
    (row,) = json.loads(inspected.stdout)["series"]
    (entry,) = json.loads((tmp_path / "second" / "report.json").read_text())["series"]
    assert (row["modality"], entry["series_instance_uid"]) == ("CT", row["series_instance_uid"])


def test_the_demo_creates_and_segments_its_study(tmp_path: Path) -> None:
    result = runs.run_clickseg_process("demo", "-o", tmp_path, "-m", REPOSITORY / "models")

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "study").is_dir()
    assert (tmp_path / "result" / "report.json").is_file()


def test_the_default_models_are_listed() -> None:
    result = runs.run_clickseg_process("models", "list", "-m", REPOSITORY / "models")

    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["lesion", "pet_lesion"]


def test_the_weights_of_a_model_are_exported(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = tmp_path / "pet_lesion"
    shutil.copytree(REPOSITORY / "models" / "pet_lesion", model)
    (model / "models" / "model.xml").unlink()

    result = runs.run_clickseg_process("models", "export", model)

    assert result.returncode == 0, result.stderr
    assert (model / "models" / "model.xml").is_file()


def test_the_training_configuration_is_printed(tmp_path: Path) -> None:
    pytest.importorskip("torch")

    result = runs.run_clickseg_process("train", tmp_path, "-o", tmp_path / "run", "--print-config")

    assert result.returncode == 0, result.stderr
    assert "name: pet_lesion" in result.stdout
