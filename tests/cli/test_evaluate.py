"""``clickseg evaluate``, as users call it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from clickseg.cli.main import main
from clickseg.core.clock import read_clock
from clickseg.datasets.case import compute_digests
from clickseg.datasets.find import find_cases
from clickseg.datasets.folds import make_folds
from clickseg.evaluation.protocols import ProtocolName
from clickseg.evaluation.run import EvaluationSettings, evaluate
from clickseg.inference.runtime_settings import RuntimeSettings
from tests.helpers import phantoms, runs, toys
from tests.helpers.dataset_folders import write_nifti
from tests.helpers.dicom_files import write_rtstruct

SHAPE = (12, 12, 12)
CUBE = (slice(1, 4),) * 3
FAR_CUBE = (slice(7, 10),) * 3
NAMES = ["a", "b & <b>", "empty"]


def write_case(data: Path, name: str, truth: np.ndarray, result: np.ndarray, modality: str = "PT") -> None:
    case = toys.make_case(truth, result, modality=modality)
    write_nifti(data / "imagesTr" / f"{name}.nii.gz", case.images[0].volume)
    write_nifti(data / "labelsTr" / f"{name}.nii.gz", case.truth)


def write_data(data: Path) -> Path:
    """Writes three cases: the one of the protocols' tests, one with a perfect result, one without a lesion."""
    truth, far, empty = (
        toys.make_mask(SHAPE, CUBE, (2, 2, slice(4, 6))),
        toys.make_mask(SHAPE, FAR_CUBE),
        np.zeros(SHAPE, bool),
    )
    for name, case_truth, result in zip(NAMES, (truth, truth, empty), (far, truth, far), strict=True):
        write_case(data, name, case_truth, result)
    return data


def write_model(folder: Path) -> Path:
    return toys.write_model(folder, radius_vox=2, modality="PT")


def evaluation_settings(model: Path, data: Path, report: Path, steps: int) -> EvaluationSettings:
    runtime = RuntimeSettings(device="cpu")
    return EvaluationSettings(data, report, (), str(model), ProtocolName.CVPR2025, runtime, read_clock({}), steps=steps)


def read_rows(report: Path) -> list[dict[str, str]]:
    with (report / "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def dice_of_steps(report: Path, case: str, method: str = "model") -> list[float]:
    return [float(row["dice"]) for row in read_rows(report) if (row["case"], row["method"]) == (case, method)]


def remove_times(content: dict[str, object]) -> str:
    return re.sub(r'"seconds": \{.*?\}', "", json.dumps(content))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a report that the command wrote."""
    folder = tmp_path_factory.mktemp("evaluation")
    data, model = write_data(folder / "data"), write_model(folder / "model")

    result = runs.run_clickseg("evaluate", model, data, "-o", folder / "report", "--steps", 2, "--device", "cpu")

    assert (result.returncode, result.stderr) == (0, "3 cases: model model, protocol cvpr2025\n")
    assert "hook in PT, model: median Dice 0.000 without clicks, 1.000 after step 2 (3 cases)" in result.stdout
    assert f"report    {folder / 'report' / 'report.html'}" in result.stdout
    return folder / "report"


def test_the_report_has_all_files(report: Path) -> None:
    assert {path.name for path in report.iterdir()} == {
        "cases.csv", "cases.png", "dice.png", "report.html", "summary.json",
    }  # fmt: skip


def test_the_table_contains_the_scores_computed_by_hand(report: Path) -> None:
    """As in the protocol's test. Without a lesion, one background click removes the false-positive cube."""
    assert dice_of_steps(report, "a") == pytest.approx([0, 56 / 89, 56 / 62], abs=1e-6)
    assert dice_of_steps(report, "b & <b>") == [1, 1, 1]
    assert dice_of_steps(report, "empty") == [0, 1, 1]
    assert dice_of_steps(report, "a", "model without clicks") == [0, 0, 0]
    assert dice_of_steps(report, "b & <b>", "region growing")[0] == 0
    assert {row["case"] for row in read_rows(report)} == set(NAMES)


def test_the_summary_describes_the_evaluation(report: Path) -> None:
    summary = json.loads((report / "summary.json").read_text())

    assert summary["protocol"] == {"name": "cvpr2025", "steps": 2, "seed": 42, "auc_from_step": 1}
    assert summary["created"] == "2023-11-14T22:13:20+00:00"
    assert re.fullmatch(r"[0-9a-f]{64}", summary["model"]["weights"]["model.bin"])
    assert summary["engine"]["engine"].lower().startswith("openvino")
    assert summary["libraries"]["surface-distance-based-measures"] == "0.1"
    assert summary["postprocessing"] is True
    assert [method["method"] for method in summary["methods"]] == ["model", "model without clicks", "region growing"]
    assert summary["methods"][0]["steps"][2]["dice"]["median"] == 1
    assert summary["failed"] == []


def test_the_page_is_self_contained(report: Path) -> None:
    page = (report / "report.html").read_text()
    weights = json.loads((report / "summary.json").read_text())["model"]["weights"]

    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert page.count("<img") == 2 + len(NAMES)
    assert "b &amp; &lt;b&gt;" in page
    assert "<b>" not in page
    assert all(digest in page for digest in weights.values())
    assert "cvpr2025, 2 steps, seed 42" in page


def run_evaluate(*arguments: object) -> int:
    return main(["evaluate", *(str(argument) for argument in arguments), "--quiet", "--device", "cpu"])


@pytest.mark.usefixtures("clean_environ")
def test_a_model_for_several_modalities_is_evaluated_on_images_of_each(tmp_path: Path) -> None:
    """The CT is scaled as CT; scaled as PET, its lesion would be missed."""
    as_ct = {"modality": "CT", "unit": "HU", "scaling": toys.RANGE | {"a_min": -20, "a_max": 0}}
    image = {"name": "image", "modality": "PT", "unit": "SUVbw", "scaling": toys.RANGE, "alternatives": [as_ct]}
    model = toys.write_model(tmp_path / "model", inputs=[image])
    truth = toys.make_mask(SHAPE, CUBE)
    for name, modality, shift in (("PET", "PT", 0), ("CT", "CT", -10)):
        case = toys.make_case(truth, truth, modality=modality)
        volume = case.images[0].volume
        write_nifti(tmp_path / "data" / "a" / f"{name}.nii.gz", volume.with_array(volume.array + np.float32(shift)))
        write_nifti(tmp_path / "data" / "a" / f"{name}_gtv.nii.gz", case.truth)

    assert run_evaluate(model, tmp_path / "data", "-o", tmp_path / "out", "--steps", 1) == 0

    assert [dice_of_steps(tmp_path / "out", case) for case in ("a_PET", "a_CT")] == [[1, 1], [1, 1]]
    methods = json.loads((tmp_path / "out" / "summary.json").read_text())["methods"]
    assert {method["modality"] for method in methods if method["method"] == "model"} == {"PT", "CT"}
    assert {method["modality"] for method in methods if method["method"] == "region growing"} == {"PT"}


@pytest.mark.usefixtures("clean_environ")
def test_the_same_evaluation_writes_the_same_report_except_times(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    assert run_evaluate(report.parent / "model", report.parent / "data", "-o", tmp_path / "again", "--steps", 2) == 0

    again = tmp_path / "again"
    without_seconds = [[{**row, "seconds": ""} for row in read_rows(folder)] for folder in (report, again)]
    assert without_seconds[0] == without_seconds[1]
    assert (report / "dice.png").read_bytes() == (again / "dice.png").read_bytes()
    assert (report / "cases.png").read_bytes() == (again / "cases.png").read_bytes()
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (report, again))
    assert remove_times(first) == remove_times(second)


@pytest.mark.usefixtures("clean_environ")
def test_a_failed_case_is_reported_and_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    (data / "imagesTr" / "a.nii.gz").write_bytes(b"no image")

    code = run_evaluate(model, data, "-o", tmp_path / "report", "--steps", 1)

    assert code == 1
    assert re.search(r"^error: a: .*a\.nii\.gz", capsys.readouterr().err, re.MULTILINE)
    assert {row["case"] for row in read_rows(tmp_path / "report")} == set(NAMES) - {"a"}
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert [case["case"] for case in summary["failed"]] == ["a"]
    assert "could not be evaluated" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.usefixtures("clean_environ")
def test_no_report_is_written_if_all_cases_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = tmp_path / "data", write_model(tmp_path / "model")
    truth = np.zeros(SHAPE, np.uint8)
    write_case(data, "a", truth, truth > 0)
    case = toys.make_case(truth > 0, truth > 0)
    write_nifti(data / "labelsTr" / "a.nii.gz", case.truth.with_array(truth + 2))

    code = run_evaluate(model, data, "-o", tmp_path / "new" / "report")

    assert code == 1
    assert "error: a: ground truth: expected class numbers 0 to 1, got 2" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("clean_environ")
def test_protocol_seed_and_postprocessing_can_be_set(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    options = ["--protocol", "autopet4", "--seed", 7, "--steps", 1, "--postprocessing", "off"]

    assert run_evaluate(model, data, "-o", tmp_path / "report", *options) == 0

    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["protocol"] == {"name": "autopet4", "steps": 1, "seed": 7, "auc_from_step": 0}
    assert summary["postprocessing"] is False


@pytest.mark.usefixtures("clean_environ")
def test_only_the_cases_of_the_given_folds_are_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    entries = [
        {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz", "fold": number}
        for number, name in enumerate(NAMES)
    ]
    (data / "list.json").write_text(json.dumps({"training": entries}))

    assert run_evaluate(model, data / "list.json", "-o", tmp_path / "r", "--steps", 0, "--fold", 0, "--fold", 2) == 0
    assert run_evaluate(model, data / "list.json", "-o", tmp_path / "other", "--fold", 3) == 2

    assert {(row["case"], row["fold"]) for row in read_rows(tmp_path / "r")} == {("a", "0"), ("empty", "2")}
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    evaluated = [case for case in find_cases(data / "list.json", ("PT",)) if case.fold in (0, 2)]
    assert summary["folds"] == [0, 2]
    assert summary["data_sha256"] == compute_digests(evaluated).sha256
    assert capsys.readouterr().err == "error: fold: expected one of 0, 1, 2, got 3\n"
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("clean_environ")
def test_the_folds_are_the_folds_of_training(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    folds = make_folds(find_cases(data, ("PT",)), 3, seed=0)

    assert run_evaluate(model, data, "-o", tmp_path / "report", "--steps", 0, "--fold", 1, "--folds", 3) == 0

    (held_out,) = folds[1].held_out
    assert {(row["case"], row["fold"]) for row in read_rows(tmp_path / "report")} == {(held_out.name, "1")}


@pytest.mark.usefixtures("clean_environ")
def test_the_rois_of_an_rtstruct_can_be_selected_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The result is empty, so the false negative volume is the complete ROI: 3 x 4 voxels of one slice."""
    geometry = phantoms.oblique_geometry()
    values = geometry.with_array(np.full(geometry.spatial_shape, toys.BACKGROUND_VALUE, np.float32))
    image = dcmread(next(phantoms.write(tmp_path / "data" / "CT", values).iterdir()))
    corners = {"mass": [(2.5, 3.5), (2.5, 7.5), (5.5, 7.5), (5.5, 3.5)], "oedema": [(0, 0), (0, 12), (10, 12), (10, 0)]}
    contours = {
        name: [geometry.map_indices_to_reference(np.array([(3.0, *corner) for corner in polygon]))]
        for name, polygon in corners.items()
    }
    write_rtstruct(tmp_path / "data" / "rs.dcm", image, contours)
    model = toys.write_model(tmp_path / "model", radius_vox=2)

    code = run_evaluate(
        model, tmp_path / "data", "-o", tmp_path / "report", "--steps", 0, "--truth-names", "Mass, tumour"
    )
    rejected = run_evaluate(
        model, tmp_path / "data", "-o", tmp_path / "other", "--truth-names", "mass", "--truth-names", "oedema"
    )

    assert (code, rejected) == (0, 2)
    (first, _) = read_rows(tmp_path / "report")
    assert float(first["fnv_ml"]) == pytest.approx(3 * 4 * 1.7 * 0.9 * 3.1 / 1000)
    assert runs.error_lines(capsys.readouterr().err) == ["error: truth-names: expected names of at most 1 class, got 2"]


@pytest.mark.usefixtures("clean_environ")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "-1"], "steps: expected 0 to 100, got -1"),
        (["--steps", "101"], "steps: expected 0 to 100, got 101"),
        (["--seed", "-1"], "seed: expected a number of at least 0, got -1"),
        (["--postprocessing", "perhaps"], "postprocessing: expected on or off, got 'perhaps'"),
    ],
)
def test_a_usage_error_is_one_line_and_no_report_is_written(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_evaluate(tmp_path / "model", tmp_path / "data", "-o", tmp_path / "report", *arguments)

    assert code == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "report").exists()


@pytest.mark.usefixtures("clean_environ")
def test_an_unknown_model_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = write_model(tmp_path / "models" / "finder").parent

    code = run_evaluate("other", write_data(tmp_path / "data"), "-o", tmp_path / "report", "-m", models)

    assert code == 1
    assert capsys.readouterr().err == (
        "error: no model 'other': expected one of finder\nhint: name the path of a model in another place with -m\n"
    )


@pytest.mark.usefixtures("clean_environ")
def test_a_missing_library_is_one_error_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the image for CPUs, which does not have these libraries."""
    from importlib.util import find_spec

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("edt", "jinja2") else find_spec(name))

    code = run_evaluate(tmp_path / "model", tmp_path / "data", "-o", tmp_path / "report")

    assert code == 1
    assert capsys.readouterr().err == (
        "error: required libraries are not installed: edt, Jinja2\nhint: pip install 'clickseg[train]'\n"
    )


@pytest.mark.usefixtures("clean_environ")
def test_an_interrupted_evaluation_writes_no_report(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    settings = evaluation_settings(model, data, tmp_path / "report", steps=2)
    counts = []

    def interrupt(count: int, _all: int) -> None:
        counts.append(count)
        if count == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(settings, interrupt)

    assert counts == [1, 2, 3, 4]
    assert not (tmp_path / "report").exists()


@pytest.mark.usefixtures("clean_environ")
def test_progress_reaches_its_end_although_a_case_fails(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    (data / "imagesTr" / "empty.nii.gz").write_bytes(b"no image")
    settings = evaluation_settings(model, data, tmp_path / "report", steps=1)
    progress = []

    evaluate(settings, lambda *counts: progress.append(counts))

    assert progress == [(count, 6) for count in range(1, 7)]


PRINT_IMPORTS = """
import json, sys
from clickseg.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted({"torch", "monai", "holoscan"} & set(sys.modules))]))
"""


def test_evaluation_on_a_cpu_imports_neither_torch_nor_monai(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")

    result = runs.run_process(
        ["python", "-c", PRINT_IMPORTS, "evaluate", model, data, "-o", tmp_path / "r", "--steps", 1, "--device", "cpu"]
    )

    assert json.loads(result.stdout.splitlines()[-1]) == [0, []]
