"""Models of other tools in the image ``cpu``, which has no torch: one error names both ways; imported packages run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import images, runs
from tests.helpers.containers import run_arguments, run_docker
from tests.helpers.example_nnunet import write_example_model
from tests.helpers.foreign_bundles import write_runnable_bundle


def test_a_model_that_is_not_translated_is_one_error(cpu_image: str, out: Path, tmp_path: Path) -> None:
    series = runs.write_input(tmp_path / "in")
    write_runnable_bundle(tmp_path / "models" / "spleen")
    images.make_readable_by_all(tmp_path)
    mount = f"{tmp_path / 'models'}:/opt/holoscan/models:ro"

    ended = run_docker(*run_arguments(cpu_image, series, out, "-v", mount))

    assert ended.returncode == 1
    error, hint = runs.error_lines(ended.stderr)
    assert error.endswith("can only be translated with torch, which is not installed")
    assert "clickseg[import]" in hint
    assert "clickseg models import" in hint
    assert [path.name for path in out.iterdir()] == ["metadata.json"]
    assert json.loads((out / "metadata.json").read_text())["exception"] == "LibraryError"


@pytest.mark.parametrize("write_model", [write_runnable_bundle, write_example_model], ids=["MONAI Bundle", "nnU-Net"])
def test_an_imported_package_runs_and_writes_the_same_bytes_as_outside(
    cpu_image: str, out: Path, tmp_path: Path, write_model: Callable[[Path], Path]
) -> None:
    series, models = runs.write_input(tmp_path / "in"), tmp_path / "models"
    source = write_model(tmp_path / "Dataset001_Spleen")
    imported = runs.run_clickseg("models", "import", source, "-o", models / "spleen")
    images.make_readable_by_all(tmp_path)
    mount = f"{models}:/opt/holoscan/models:ro"

    inside = run_docker(*run_arguments(cpu_image, series, out, "-v", mount))
    words = ["segment", series, "-m", models, "-o", tmp_path / "outside"]
    outside = runs.run_clickseg_process(*words, CLICKSEG_METADATA="1")

    assert (imported.returncode, inside.returncode, outside.returncode) == (0, 0, 0), inside.stderr
    assert runs.read_result_files(out) == runs.read_result_files(tmp_path / "outside")


def test_clickseg_run_translates_the_model_outside(cpu_image: str, tmp_path: Path) -> None:
    series, bundle = runs.write_input(tmp_path / "in"), write_runnable_bundle(tmp_path / "spleen")
    images.make_readable_by_all(tmp_path)

    ended = runs.run_clickseg_process(
        "run", cpu_image, series, tmp_path / "out", "-m", bundle, "--cache", tmp_path / "cache"
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "out" / "report.json").read_text())["model"]["name"] == "spleen"
