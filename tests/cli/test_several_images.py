"""A study with four MR series of one model: told apart by description, or named with ``--input``; also in a session."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

import clickseg
from clickseg.clicks.click import Click, Polarity
from clickseg.core.errors import InputError
from clickseg.models.importers.roles import role_descriptions
from tests.helpers import phantoms, runs
from tests.helpers.described_series import CONTRASTS, described_uid, write_described_series
from tests.helpers.runs import run_clickseg

LEVELS = {"T1c": 100.0, "T1": 200.0, "T2": 300.0, "FLAIR": 400.0}
"""The value of the hook in each series; outside it is 0."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model whose class n is where the n-th input has the value that the hook has in its series; clicks add to it."""
    scale = {"kind": "range", "a_min": 0, "a_max": 100, "clip": False}
    inputs = [
        {"name": name, "modality": "MR", "unit": "", "scaling": scale, "descriptions": role_descriptions(name)}
        for name in LEVELS
    ]
    section = phantoms.metadata(
        inputs=inputs,
        activation="sigmoid",
        overwrite=True,
        output_channels=2,
        classes=[phantoms.organ("body", 0), phantoms.organ("hook", 1)],
        grid={"spacing_mm": ["source"] * 3, "orientation": "source"},
        guidance=phantoms.GUIDANCE,
    )
    # 1 * T1c + 2 * T1 + 3 * T2 + 4 * FLAIR is 30 in the hook only if each series is its own input
    weights = [[0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 50, -50]]
    phantoms.write_linear_model(tmp_path / "models" / "brain", section, weights=weights, bias=[1, -29.5])
    return tmp_path / "models"


def write_study(folder: Path, descriptions: dict[str, str]) -> Path:
    hook = [(text, phantoms.hook_volume(runs.GEOMETRY, LEVELS[name])) for name, text in descriptions.items()]
    return write_described_series(folder, [*hook, ("localizer", phantoms.hook_volume(runs.GEOMETRY, 900.0))])


def hook_voxels(out: Path) -> int:
    """Returns the number of voxels of the hook, class 2, in the label map."""
    (path,) = out.glob("*.nii.gz")
    return int(np.count_nonzero(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) == 2))


def test_four_series_are_segmented_as_one_case(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in", dict(reversed(CONTRASTS.items()))), tmp_path / "out"

    result = run_clickseg("segment", study, "-o", out, "-m", models, "--nifti", "--precision", "f32")

    assert result.returncode == 0, result.stderr
    assert (
        "inputs of model brain: T1c in MR_test_4, T1 in MR_test_3, T2 in MR_test_2, FLAIR in MR_test_1" in result.stderr
    )
    assert hook_voxels(out) == runs.expected_labels().sum()
    (entry,) = json.loads((out / "report.json").read_text())["series"]
    assert entry["series_instance_uid"] == described_uid(4)
    names = [(each["name"], each["series_instance_uid"]) for each in entry["inputs"]]
    assert names == [(name, described_uid(4 - number)) for number, name in enumerate(LEVELS)]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_series_without_descriptions_are_named(tmp_path: Path, models: Path, way: str) -> None:
    study, out = write_study(tmp_path / "in", dict.fromkeys(LEVELS, "")), tmp_path / "out"
    named = [f"{name}={described_uid(number)}" for number, name in enumerate(LEVELS, 1)]
    options = [word for each in named for word in ("--input", each)] if way == "option" else []
    environ = {"CLICKSEG_INPUT": ",".join(named)} if way == "variable" else {}

    command = ("segment", study, "-o", out, "-m", models, "--nifti", "--precision", "f32", *options)
    result = runs.run_clickseg_process(*command, **environ)

    assert result.returncode == 0, result.stderr
    assert hook_voxels(out) == runs.expected_labels().sum()


def test_undecided_series_are_one_error_and_nothing_is_written(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in", {**CONTRASTS, "T1": "Ax T1 +C repeated"}), tmp_path / "out"

    result = run_clickseg("segment", study, "-o", out, "-m", models)

    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: model brain: cannot decide which series is which input: T1c (MR, described as ")
    assert "; T1 (MR, described as " in lines[0]
    assert f"{described_uid(5)} (MR, localizer, 12 images)" in lines[0]
    assert lines[1].startswith("hint: name the series of each input, such as --input 'T1c=")
    assert not out.exists() or not list(out.glob("*.dcm"))


def test_a_session_keeps_its_series_and_clicks_change_the_result(tmp_path: Path, models: Path) -> None:
    study, out = write_study(tmp_path / "in", {**CONTRASTS, "T1": "no contrast named"}), tmp_path / "out"
    common = ("-m", models, "--session", tmp_path / "session", "--nifti", "--precision", "f32")
    click = runs.click(9, 11, 13)
    opened = run_clickseg("segment", study, "-o", out, *common, "--input", f"T1={described_uid(2)}", "--clicks", "none")

    position = ",".join(str(value) for value in click.position_mm)
    refined = run_clickseg("refine", study, "-o", tmp_path / "refined", *common, "--add", position)

    assert (opened.returncode, refined.returncode) == (0, 0), opened.stderr + refined.stderr
    assert hook_voxels(out) == runs.expected_labels().sum()
    assert hook_voxels(tmp_path / "refined") == runs.expected_labels(click).sum()


def test_python_takes_a_folder_with_named_series_or_series_in_the_order_of_the_inputs(
    tmp_path: Path, models: Path
) -> None:
    study = write_study(tmp_path / "in", dict.fromkeys(LEVELS, ""))
    named = {name: described_uid(number) for number, name in enumerate(LEVELS, 1)}
    series = [clickseg.read_series(study, uid) for uid in named.values()]
    clicks = [Click("hook", Polarity.FOREGROUND, runs.click(9, 11, 13).position_mm)]

    from_folder = clickseg.segment(study, clicks=clicks, model=models / "brain", input_series=named, device="cpu")
    in_memory = clickseg.segment(series, clicks=clicks, model=models / "brain", device="cpu")

    assert from_folder[0].label_map.array.tobytes() == in_memory[0].label_map.array.tobytes()
    expected = np.where(runs.expected_labels(runs.click(9, 11, 13)), 2, 1)
    np.testing.assert_array_equal(from_folder[0].label_map.array, expected)
    with pytest.raises(InputError, match="cannot decide which series is which input"):
        clickseg.segment(study, model=models / "brain", device="cpu")
