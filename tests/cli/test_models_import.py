"""``clickseg models import``: a model of another tool becomes a model package."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clickseg.models.importers.source_model import ImportOptions
from clickseg.session.record import Record, SessionInputs
from tests.helpers import nnunet_models as nn
from tests.helpers import runs
from tests.helpers.foreign_bundles import ARGMAX, RANGE, RAS, SPACING, invert, write_runnable_bundle
from tests.helpers.foreign_programs import OnlyTorch, Probabilities, write_shifter
from tests.helpers.runs import run_clickseg


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write_shifter(tmp_path)


def test_the_package_runs_as_the_source_does_and_gives_the_same_labels(program: Path, tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "study")
    package = tmp_path / "package"

    imported = run_clickseg("models", "import", program, "-o", package)
    results = [
        run_clickseg("segment", study, "-m", model, "-o", tmp_path / out, "--nifti", XDG_CACHE_HOME=str(tmp_path / "c"))
        for model, out in ((program, "a"), (package, "b"))
    ]

    assert [imported.returncode, *(result.returncode for result in results)] == [0, 0, 0], imported.stderr
    (first,), (second,) = ([path.read_bytes() for path in (tmp_path / out).glob("*.nii.gz")] for out in ("a", "b"))
    assert first == second


@pytest.mark.slow
def test_the_folds_of_nnunet_become_one_network(tmp_path: Path) -> None:
    study, plans = runs.write_input(tmp_path / "study"), nn.make_plans()
    states = {str(fold): nn.make_state(nn.network_of(plans, 1, 3), fold) for fold in range(2)}
    folds = {fold: nn.make_checkpoint(state) for fold, state in states.items()}
    source = nn.write_model(tmp_path / "Dataset007_Abdomen" / nn.IDENTIFIER, plans, folds=folds).parent

    result = run_clickseg("models", "import", source, "-o", tmp_path / "package")
    segmented = [
        run_clickseg("segment", study, "-m", tmp_path / "package", "-o", tmp_path / "a", "--nifti", "--clicks", "none"),
        run_clickseg("segment", study, "-m", source, "-o", tmp_path / "b", "--nifti", "--clicks", "none"),
    ]

    assert result.stdout.splitlines()[-6:-1] == [
        "model     Dataset007_Abdomen 0 (nnU-Net)",
        "input     CT HU",
        "grid      3 x 1.5 x 1.25 mm, axes SPL",
        "classes   spleen, liver",
        "network   runs in OpenVINO on the CPU, in torch on a GPU",
    ]
    assert [run.returncode for run in segmented] == [0, 0], segmented[0].stderr
    first, second = ([path.read_bytes() for path in (tmp_path / out).glob("*.nii.gz")] for out in ("a", "b"))
    assert first == second != []


def test_the_command_prints_assumptions_and_the_licence_and_the_package_contains_them(tmp_path: Path) -> None:
    bundle = write_runnable_bundle(tmp_path / "spleen", SPACING, RANGE)  # without Orientationd

    result = run_clickseg("models", "import", bundle, "-o", tmp_path / "package")

    metadata = json.loads((tmp_path / "package/configs/metadata.json").read_text())
    assumed = [note for note in metadata["clickseg_import"]["notes"] if note["outcome"] == "assumed"]
    assert assumed
    for note in assumed:
        assert f"assumed: {note['key']}: {note['text']}" in result.stdout
        assert note["key"] in (tmp_path / "package/docs/README.md").read_text()
    lines = result.stdout.splitlines()
    assert lines[:2] == ["licence:", "Apache License"]
    assert lines[-6:] == [
        "model     spleen 0.5.9 (MONAI Bundle)",
        "input     CT HU",
        "grid      1.5 x 1.5 x 2 mm, axes source",
        "classes   spleen",
        "network   runs in OpenVINO on the CPU, in torch on a GPU",
        f"package   {tmp_path / 'package'}",
    ]
    assert (tmp_path / "package/LICENSE").read_text() == "Apache License\n"


def test_a_run_warns_of_assumptions_and_reports_them(tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "study")
    bundle = write_runnable_bundle(tmp_path / "spleen", SPACING, RANGE)

    result = run_clickseg("segment", study, "-m", bundle, "-o", tmp_path / "out", XDG_CACHE_HOME=str(tmp_path / "c"))

    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["model"]["name"] == "spleen"
    assert report["model"]["assumptions"]
    assert all(f"model spleen: assumed: {text}" in result.stderr for text in report["model"]["assumptions"])


def test_a_run_reports_how_the_model_differs_from_the_original_tool(tmp_path: Path) -> None:
    bundle = write_runnable_bundle(tmp_path / "spleen", RAS, SPACING, RANGE)
    path = bundle / "configs/inference.json"
    labels_are_interpolated = {"_target_": "Compose", "transforms": [ARGMAX, invert(nearest=False)]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"postprocessing": labels_are_interpolated}))

    result = run_clickseg("segment", runs.write_input(tmp_path / "study"), "-m", bundle, "-o", tmp_path / "out")

    assert result.returncode == 0, result.stderr
    (difference,) = json.loads((tmp_path / "out/report.json").read_text())["model"]["differences"]
    assert difference.startswith("postprocessing#transforms#1: ")


def test_fields_are_set_on_the_command_line(program: Path, tmp_path: Path) -> None:
    changes = ["--set", "window.overlap=0.5", "--set", "classes.0.name=tumour", "--stored-axes", "ras"]

    result = run_clickseg("models", "import", program, "-o", tmp_path / "package", *changes)

    section = json.loads((tmp_path / "package/configs/metadata.json").read_text())["clickseg"]
    assert result.returncode == 0
    assert (section["window"]["overlap"], section["classes"][0]["name"]) == (0.5, "tumour")
    assert section["grid"]["orientation"] == "RAS"


def test_an_unknown_field_is_an_error_and_nothing_is_written(program: Path, tmp_path: Path) -> None:
    result = run_clickseg("models", "import", program, "-o", tmp_path / "package", "--set", "window.stride=3")

    assert result.returncode == 1
    assert runs.error_lines(result.stderr)[0].endswith("window.stride: unknown field")
    assert not (tmp_path / "package").exists()


def test_an_error_about_the_network_names_the_model_and_nothing_is_written(tmp_path: Path) -> None:
    bundle = write_runnable_bundle(tmp_path / "spleen_ct")
    change = ("--set", "network_def#channels=[8, 8]")

    result = run_clickseg("models", "import", bundle, "-o", tmp_path / "package", *change)

    assert result.returncode == 1
    (error,) = runs.error_lines(result.stderr)
    assert error.startswith("error: model spleen_ct: model.pt does not fit network_def: size mismatch for ")
    assert [path.name for path in tmp_path.iterdir()] == ["spleen_ct"]


def test_a_program_that_returns_probabilities_is_an_assumption_and_with_sigmoid_an_error(tmp_path: Path) -> None:
    softmax = write_shifter(tmp_path, "softmax", network=Probabilities())
    sigmoid = write_shifter(
        tmp_path, "sigmoid", network=Probabilities(), activation="sigmoid", classes=[{"name": "hook", "channel": 1}]
    )

    accepted = run_clickseg("models", "import", softmax, "-o", tmp_path / "package")
    rejected = run_clickseg("models", "import", sigmoid, "-o", tmp_path / "other")

    assert "assumed: activation: the outputs of the program for a random window are all between 0" in accepted.stdout
    assert rejected.returncode == 1
    assert "expected logits, because sigmoid is applied to them" in runs.error_lines(rejected.stderr)[0]
    assert not (tmp_path / "other").exists()


def test_the_command_names_the_option_that_runs_a_program_which_openvino_cannot_run(tmp_path: Path) -> None:
    program = write_shifter(tmp_path, network=OnlyTorch())

    result = run_clickseg("models", "import", program, "-o", tmp_path / "package")

    assert result.returncode == 0, result.stderr
    assert "network   runs only in torch (with --engine torch, because it is a program): " in result.stdout


def test_a_program_that_returns_logits_has_no_such_assumption(program: Path, tmp_path: Path) -> None:
    result = run_clickseg("models", "import", program, "-o", tmp_path / "package")

    assert "assumed: activation" not in result.stdout


def test_an_existing_package_is_not_replaced(program: Path, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine").write_text("x")

    result = run_clickseg("models", "import", program, "-o", tmp_path / "package")

    assert result.returncode == 1
    assert "exists already" in result.stderr
    assert [path.name for path in (tmp_path / "package").iterdir()] == ["mine"]


def test_a_path_without_a_model_is_one_error(tmp_path: Path) -> None:
    result = run_clickseg("models", "import", tmp_path, "-o", tmp_path / "package")

    assert result.returncode == 1
    assert runs.error_lines(result.stderr)[0].startswith(f"error: {tmp_path}: expected a MONAI Bundle, ")


def test_a_folder_of_programs_only_is_an_error_of_models_list_that_says_to_name_one(program: Path) -> None:
    result = run_clickseg("models", "-m", program.parent, "list")

    assert result.returncode == 1
    assert runs.error_lines(result.stderr)[1] == f"hint: name it: -m {program}"


def test_a_model_of_another_tool_cannot_be_exported(tmp_path: Path) -> None:
    result = run_clickseg("models", "export", write_runnable_bundle(tmp_path / "bundle"))

    assert result.returncode == 1
    assert "`clickseg models import`" in runs.error_lines(result.stderr)[1]


def test_models_list_shows_a_model_of_another_tool(program: Path) -> None:
    result = run_clickseg("models", "list", "-m", program)

    assert (result.returncode, result.stdout) == (0, f"shifter: TorchScript, translated when it is used ({program})\n")


def test_refine_reuses_what_was_stated_about_the_model_of_a_session(program: Path, tmp_path: Path) -> None:
    study, session, package = runs.write_input(tmp_path / "study"), tmp_path / "session", tmp_path / program.stem
    options = ["--stored-axes", "ras", "--set", "window.overlap=0.5", "--set", "classes.0.name=tumour"]

    def run(command: str, model: Path, *arguments: str) -> CompletedProcess[str]:
        places = ["-m", model, "-o", tmp_path / "out", "--session", session]
        return run_clickseg(command, study, *places, *arguments, XDG_CACHE_HOME=str(tmp_path / "c"))

    opened = run("segment", program, *options)
    imported = run_clickseg("models", "import", program, "-o", package, *options)
    record = json.loads((session / "session.json").read_text())
    refined = [
        run("refine", program),
        run("refine", program, "--stored-axes", "RAS", "--set", "window.overlap=0.50"),
        run("refine", package, "--reset"),
        run("refine", program, "--reset"),
    ]

    assert [result.returncode for result in (opened, imported, *refined)] == [0] * 6, [r.stderr for r in refined]
    stated = {"stored_axes": "RAS", "changes": {"window.overlap": 0.5, "classes.0.name": "tumour"}}
    assert record["import_options"] == stated
    assert json.loads((session / "session.json").read_text())["import_options"] == stated
    assert "classes.0.name" not in refined[0].stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--stored-axes", "LAS"], '--stored-axes: the session was opened with "RAS", got "LAS"'),
        (["--set", "window.overlap=0.5"], "--set window.overlap: the session was opened with 0.25, got 0.5"),
        (["--preset", "deploy_spleen"], "--preset: the session was opened without it"),
        (["--unit", "none"], "--unit: the session was opened without it"),
        (["--set", "guidance=null"], "--set guidance: the session was opened without it"),
    ],
)
def test_an_option_that_differs_from_that_of_the_session_is_one_error(
    tmp_path: Path, option: list[str], message: str
) -> None:
    stored = ImportOptions(stored_axes="RAS", changes={"window.overlap": 0.25})
    Record(tmp_path / "session", SessionInputs("shifter", ("1.2.3",), {}, stored)).close()
    program = write_shifter(tmp_path / "models")
    places = ["-m", program, "-o", tmp_path / "out", "--session", tmp_path / "session"]

    result = run_clickseg("refine", runs.write_input(tmp_path / "study"), *places, *option)

    assert result.returncode == 2
    assert runs.error_lines(result.stderr)[0] == f"error: {message}"


def test_a_session_warns_of_assumptions_when_it_is_opened_and_refined(tmp_path: Path) -> None:
    study, session = runs.write_input(tmp_path / "study"), tmp_path / "session"
    bundle = write_runnable_bundle(tmp_path / "spleen", SPACING, RANGE)
    options = ["-m", bundle, "-o", tmp_path / "out", "--session", session]

    opened = run_clickseg("segment", study, *options, XDG_CACHE_HOME=str(tmp_path / "c"))
    refined = run_clickseg("refine", study, *options, "--reset", XDG_CACHE_HOME=str(tmp_path / "c"))

    assert (opened.returncode, refined.returncode) == (0, 0), (opened.stderr, refined.stderr)
    assert "model spleen: assumed: " in opened.stderr
    assert "model spleen: assumed: " in refined.stderr
