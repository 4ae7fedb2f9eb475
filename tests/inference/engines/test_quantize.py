"""``clickseg models export --precision int8``: calibrates on real windows, compares with f32, and runs the result."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from clickseg.batch.settings import read_settings
from clickseg.cli import models_export
from clickseg.cli.models_export import calibration_windows
from clickseg.core.errors import EngineError, InputError, ModelError
from clickseg.inference.engines.export import export_openvino
from clickseg.inference.engines.quantize import _class_masks, quantize
from clickseg.models.package import load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms, runs
from tests.helpers.networks import NETWORK, make_package
from tests.helpers.runs import run_clickseg


@pytest.fixture
def model(tmp_path: Path) -> Path:
    section = phantoms.metadata(
        grid={"spacing_mm": runs.GRID_SPACING_MM, "orientation": "RAS"}, guidance=phantoms.GUIDANCE
    )
    unet = make_package(tmp_path / "models" / "unet", NETWORK | {"channels": [8, 16]}, section)
    export_openvino(unet)
    return unet.path


def test_weights_are_calibrated_on_series_and_run(tmp_path: Path, model: Path) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(9, 11, 13))

    exported = run_clickseg("models", "export", model, "--precision", "int8", "--calibrate", study)
    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", model, "--precision", "int8")

    assert exported.returncode == 0, exported.stderr
    lines = exported.stdout.splitlines()
    assert lines[:2] == [str(model / "models" / name) for name in ("model_int8.xml", "model_int8.bin")]
    assert lines[2].startswith("agreement with f32 on ")
    assert float(lines[2].partition("same class ")[2].partition("%")[0]) > 90
    assert result.returncode == 0, result.stderr
    entry = json.loads((tmp_path / "out" / "report.json").read_text())["series"][0]
    assert entry["engine"]["precision"] == "int8"
    assert set(entry["weights"]) == {"model_int8.bin", "model_int8.xml"}


@pytest.mark.parametrize("changes", [{}, {"overwrite": True}])
def test_masks_of_a_sigmoid_model_overlap_unless_classes_overwrite_each_other(changes: dict[str, bool]) -> None:
    classes = [phantoms.organ(name, channel) for name, channel in (("a", 2), ("b", 0), ("c", 1))]
    section = phantoms.metadata(activation="sigmoid", output_channels=3, classes=classes, **changes)
    logits = np.random.default_rng(2).normal(size=(3, 4, 5, 6)).astype(np.float32)

    a, b, c = _class_masks(logits, ModelSpec.model_validate(section))

    expected = [logits[2] > 0, logits[0] > 0, logits[1] > 0]
    if changes:
        labels = np.select(expected[::-1], [3, 2, 1], 0)
        expected = [labels == number for number in (1, 2, 3)]
    np.testing.assert_array_equal([a, b, c], expected)


def test_without_int8_weights_the_error_tells_how_to_make_them(tmp_path: Path, model: Path) -> None:
    study = runs.write_input(tmp_path / "in")

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", model, "--precision", "int8")

    assert result.returncode == 1
    assert "error: model unet: no int8 weights" in result.stderr
    assert "--precision int8 --calibrate DIR" in result.stderr


def test_int8_needs_series_for_calibration(model: Path) -> None:
    result = run_clickseg("models", "export", model, "--precision", "int8")

    assert (result.returncode, "--calibrate" in result.stderr) == (2, True)


def test_torch_does_not_support_int8(tmp_path: Path, model: Path) -> None:
    arguments = ("-m", model, "--precision", "int8", "--engine", "torch")

    result = run_clickseg("segment", runs.write_input(tmp_path / "in"), "-o", tmp_path / "out", *arguments)

    assert (result.returncode, "torch supports f32, bf16, f16, not int8" in result.stderr) == (1, True)


def test_constant_windows_are_not_used_for_calibration(tmp_path: Path, model: Path) -> None:
    phantoms.write(tmp_path / "air", phantoms.hook_volume(runs.GEOMETRY, -1000.0, -1000.0))
    settings = read_settings(tmp_path / "air", tmp_path, model, {}, {})

    with pytest.raises(InputError, match="air: int8 cannot be calibrated: each window contains only one value"):
        calibration_windows(settings)


def test_windows_with_clicks_are_used_for_calibration(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(9, 11, 13))
    settings = read_settings(study, tmp_path, model, {}, {})
    clicked = [bool(window[1:].any()) for window in calibration_windows(settings)]
    monkeypatch.setattr(models_export, "_MAX_WINDOWS", 2)

    few = [bool(window[1:].any()) for window in calibration_windows(settings)]

    assert 0 < sum(clicked) < len(clicked)
    assert sorted(few) == [False, True]


def test_missing_weights_and_missing_nncf_are_errors(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"no model\.xml to quantize"):
        quantize(make_package(tmp_path / "bare"), [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match="NNCF is not installed"):
        quantize(load_package(model), [])
