"""``clickseg models check``: the labels of a model are compared with those of MONAI's own pipeline."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from clickseg.evaluation.original.check import comparable_package
from clickseg.models.package import load_package
from tests.helpers import phantoms, runs
from tests.helpers.fitted_bundles import RECIPES, write_fitted_bundle
from tests.helpers.foreign_bundles import write_runnable_bundle
from tests.helpers.foreign_programs import INPUT, write_shifter
from tests.helpers.runs import run_clickseg
from tests.helpers.smooth_series import write_smooth_series

pytest.importorskip("nibabel")
CROP = {"voxels": "positive", "values": "scaled", "grid": "source", "margin_vox": 2}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smooth_series(tmp_path_factory.mktemp("series"), "CT", (20, 32, 36))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fitted_bundle(tmp_path_factory.mktemp("bundle") / "spleen", RECIPES["spleen"])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def equal_percent(output: str) -> float:
    (percent,) = re.findall(r": ([\d.]+)% of voxels have the same label", output)
    return float(percent)


@pytest.mark.slow
def test_the_labels_of_a_bundle_are_those_of_its_own_configuration(bundle: Path, series: Path, cache: str) -> None:
    result = run_clickseg("models", "check", bundle, "--data", series, "--cache", cache)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("original: the configuration of the bundle\n")
    assert equal_percent(result.stdout) >= 99.99
    assert "Dice spleen" in result.stdout


@pytest.mark.slow
def test_labels_that_differ_too_much_are_exit_code_1(bundle: Path, series: Path, cache: str) -> None:
    change = ["--set", "interpolation=labels", "--least", "99.99"]

    result = run_clickseg("models", "check", bundle, "--data", series, "--cache", cache, *change)

    assert (result.returncode, runs.error_lines(result.stderr)) == (1, [])
    assert equal_percent(result.stdout) < 99.99


@pytest.mark.slow
def test_a_package_is_compared_with_the_bundle_it_was_translated_from(
    bundle: Path, series: Path, cache: str, tmp_path: Path
) -> None:
    change = ["--set", "preprocessing#transforms#3#pixdim=[5.3, 5.1, 6.2]"]
    run_clickseg("models", "import", bundle, "-o", tmp_path / "package", *change)
    check = ["models", "check", tmp_path / "package", "--data", series, "--source", bundle, "--cache", cache]

    with_change, without = run_clickseg(*check, *change), run_clickseg(*check)

    assert with_change.returncode == 0, with_change.stderr
    assert with_change.stdout.startswith("original: the configuration of the bundle\n")
    assert equal_percent(with_change.stdout) >= 99.99
    assert (without.returncode, equal_percent(without.stdout) < 99.9) == (1, True)


@pytest.mark.slow
def test_a_pipeline_that_fails_is_one_error(bundle: Path, series: Path, cache: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    config = json.loads((broken / "configs/inference.json").read_text())
    config["dataloader"]["_target_"] = "NoSuchLoader"
    (broken / "configs/inference.json").write_text(json.dumps(config))

    result = run_clickseg("models", "check", broken, "--data", series, "--cache", cache)

    (line,) = runs.error_lines(result.stderr)
    assert result.returncode == 1
    assert line.startswith("error: model broken: the original pipeline failed: ")
    assert "NoSuchLoader" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "sigmoid", "inputs": [{**INPUT, "scaling": {"kind": "range", "a_min": -700.5, "a_max": 500}}]},
        {"inputs": [{**INPUT, "scale_before_resampling": True}], "crop": CROP},
        {
            "interpolation": "labels",
            "grid": {"spacing_mm": [2.9, 2.7, 4.3], "orientation": "LPS"},
            "postprocessing": {"keep": "largest", "keep_count": 2, "connectivity": "full", "grid": "model"},
        },
    ],
    ids=["plain", "overlapping classes", "crop", "largest components"],
)
def test_the_labels_of_a_program_are_those_of_its_description(
    changes: dict, series: Path, cache: str, tmp_path: Path
) -> None:
    program = write_shifter(tmp_path, **changes)

    result = run_clickseg("models", "check", program, "--data", series, "--cache", cache)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("original: the description of the model\n")
    assert equal_percent(result.stdout) >= 99.99


def test_rules_that_monai_lacks_are_not_compared(tmp_path: Path) -> None:
    rules = {"min_value": 40, "min_volume_ml": 1, "keep": "largest"}
    image = {**INPUT, "alternatives": [{"modality": "MR", "unit": "", "scaling": {"kind": "zscore"}, "min_value": 5}]}
    section = phantoms.metadata(inputs=[image], postprocessing=rules)
    package = load_package(phantoms.write_linear_model(tmp_path / "model", section, [[0], [1]], [0, 0]))

    comparable, missing = comparable_package(package)

    assert missing == ("min_value", "min_volume_ml")
    for modality in ("CT", "MR"):
        left = comparable.for_modality(modality).spec.postprocessing
        assert (left.min_value, left.min_volume_ml, left.keep) == (None, 0, "largest")


@pytest.mark.parametrize("option", [["--set", "window.overlap=0.3"], ["--unit", "HU"]], ids=["set", "unit"])
def test_options_of_a_translation_are_errors_for_a_package(option: list[str], series: Path, tmp_path: Path) -> None:
    bundle = write_runnable_bundle(tmp_path / "bundle")
    package = phantoms.write_linear_model(tmp_path / "model", phantoms.metadata(), [[0], [1]], [0, 0])

    result = run_clickseg("models", "check", package, "--data", series, "--source", bundle, *option)

    assert result.returncode == 2
    assert "with --source, expected --set only with keys of the source" in result.stderr


def test_the_source_of_a_package_must_be_a_bundle(series: Path, tmp_path: Path) -> None:
    result = run_clickseg("models", "check", tmp_path, "--data", series, "--source", tmp_path)

    assert result.returncode == 2
    assert "--source: expected the MONAI Bundle" in result.stderr


def test_series_of_inputs_can_be_named(series: Path, tmp_path: Path) -> None:
    model = phantoms.write_linear_model(tmp_path / "model", phantoms.metadata(), [[0], [1]], [0, 0])

    result = run_clickseg("models", "check", model, "--data", series, "--input", "T1=1.2.3")

    assert result.returncode == 1
    assert "no series 1.2.3 in the input" in result.stderr
