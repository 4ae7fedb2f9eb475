"""``clickseg evaluate`` as users call it."""

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
from clickseg.datasets.case import digests_of
from clickseg.datasets.find import find_cases
from clickseg.datasets.folds import make_folds
from clickseg.evaluation.protocols import ProtocolName
from clickseg.evaluation.run import EvaluationSettings, evaluate
from clickseg.inference.runtime_settings import RuntimeSettings
from tests.helpers import phantoms, runs, toys
from tests.helpers.dataset_folders import nifti
from tests.helpers.dicom_files import rtstruct

SHAPE = (12, 12, 12)
CUBE = (slice(1, 4),) * 3
FAR_CUBE = (slice(7, 10),) * 3
NAMES = ["a", "b & <b>", "empty"]


def write_case(data: Path, name: str, truth: np.ndarray, found: np.ndarray, modality: str = "PT") -> None:
    case = toys.case(truth, found, modality=modality)
    nifti(data / "imagesTr" / f"{name}.nii.gz", case.images[0].volume)
    nifti(data / "labelsTr" / f"{name}.nii.gz", case.truth)


def write_data(data: Path) -> Path:
    """Three cases of pairs of files: one as in the protocols' tests, one perfect, one without a lesion."""
    truth, far, nothing = toys.mask(SHAPE, CUBE, (2, 2, slice(4, 6))), toys.mask(SHAPE, FAR_CUBE), np.zeros(SHAPE, bool)
    for name, there, found in zip(NAMES, (truth, truth, nothing), (far, truth, far), strict=True):
        write_case(data, name, there, found)
    return data


def write_model(folder: Path) -> Path:
    return toys.write_model(folder, radius_vox=2, modality="PT")


def settings_of(model: Path, data: Path, report: Path, steps: int) -> EvaluationSettings:
    runtime = RuntimeSettings(device="cpu")
    return EvaluationSettings(data, report, (), str(model), ProtocolName.CVPR2025, runtime, read_clock({}), steps=steps)


def rows(report: Path) -> list[dict[str, str]]:
    with (report / "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def dice(report: Path, case: str, method: str = "model") -> list[float]:
    return [float(row["dice"]) for row in rows(report) if (row["case"], row["method"]) == (case, method)]


def without_times(content: dict[str, object]) -> str:
    return re.sub(r'"seconds": \{.*?\}', "", json.dumps(content))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report by the command, in a process of its own."""
    folder = tmp_path_factory.mktemp("evaluation")
    data, model = write_data(folder / "data"), write_model(folder / "model")

    ended = runs.clickseg("evaluate", model, data, "-o", folder / "report", "--clicks", 2, "--device", "cpu")

    assert (ended.returncode, ended.stderr) == (0, "3 cases: model model, protocol cvpr2025\n")
    assert "hook in PT, model: median Dice 0.000 without clicks, 1.000 after step 2 (3 cases)" in ended.stdout
    assert f"report    {folder / 'report' / 'report.html'}" in ended.stdout
    return folder / "report"


def test_the_report_is_whole(report: Path) -> None:
    assert {path.name for path in report.iterdir()} == {
        "cases.csv", "cases.png", "dice.png", "report.html", "summary.json",
    }  # fmt: skip


def test_the_table_holds_the_figures_that_were_computed_by_hand(report: Path) -> None:
    """As in the protocol's test; without a lesion the false cube is gone after one background click."""
    assert dice(report, "a") == pytest.approx([0, 56 / 89, 56 / 62], abs=1e-6)
    assert dice(report, "b & <b>") == [1, 1, 1]
    assert dice(report, "empty") == [0, 1, 1]
    assert dice(report, "a", "model without clicks") == [0, 0, 0]
    assert dice(report, "b & <b>", "region growing")[0] == 0
    assert {row["case"] for row in rows(report)} == set(NAMES)


def test_the_summary_says_what_was_run(report: Path) -> None:
    summary = json.loads((report / "summary.json").read_text())

    assert summary["protocol"] == {"name": "cvpr2025", "steps": 2, "seed": 42, "auc_from_step": 1}
    assert summary["created"] == "2023-11-14T22:13:20+00:00"
    assert re.fullmatch(r"[0-9a-f]{64}", summary["model"]["weights"]["model.bin"])
    assert summary["engine"]["engine"].lower().startswith("openvino")
    assert summary["libraries"]["surface-distance-based-measures"] == "0.1"
    assert summary["postprocessing"] is True
    assert [each["method"] for each in summary["methods"]] == ["model", "model without clicks", "region growing"]
    assert summary["methods"][0]["steps"][2]["dice"]["median"] == 1
    assert summary["failed"] == []


def test_the_page_needs_nothing_beside_itself(report: Path) -> None:
    page = (report / "report.html").read_text()
    weights = json.loads((report / "summary.json").read_text())["model"]["weights"]

    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert page.count("<img") == 2 + len(NAMES)
    assert "b &amp; &lt;b&gt;" in page
    assert "<b>" not in page
    assert all(digest in page for digest in weights.values())
    assert "cvpr2025, 2 steps, seed 42" in page


def run(*arguments: object) -> int:
    return main(["evaluate", *(str(argument) for argument in arguments), "--quiet", "--device", "cpu"])


@pytest.mark.usefixtures("clean_environ")
def test_a_model_for_several_modalities_is_evaluated_on_the_images_of_each(tmp_path: Path) -> None:
    """The CT is scaled as CT: nothing of it would be found as PET."""
    as_ct = {"modality": "CT", "unit": "HU", "scaling": toys.RANGE | {"a_min": -20, "a_max": 0}}
    image = {"name": "image", "modality": "PT", "unit": "SUVbw", "scaling": toys.RANGE, "alternatives": [as_ct]}
    model = toys.write_model(tmp_path / "model", inputs=[image])
    truth = toys.mask(SHAPE, CUBE)
    for name, modality, shift in (("PET", "PT", 0), ("CT", "CT", -10)):
        case = toys.case(truth, truth, modality=modality)
        volume = case.images[0].volume
        nifti(tmp_path / "data" / "a" / f"{name}.nii.gz", volume.with_array(volume.array + np.float32(shift)))
        nifti(tmp_path / "data" / "a" / f"{name}_gtv.nii.gz", case.truth)

    assert run(model, tmp_path / "data", "-o", tmp_path / "out", "--clicks", 1) == 0

    assert [dice(tmp_path / "out", case) for case in ("a_PET", "a_CT")] == [[1, 1], [1, 1]]
    methods = json.loads((tmp_path / "out" / "summary.json").read_text())["methods"]
    assert {each["modality"] for each in methods if each["method"] == "model"} == {"PT", "CT"}
    assert {each["modality"] for each in methods if each["method"] == "region growing"} == {"PT"}


@pytest.mark.usefixtures("clean_environ")
def test_the_same_evaluation_gives_the_same_report_but_for_times(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    assert run(report.parent / "model", report.parent / "data", "-o", tmp_path / "again", "--clicks", 2) == 0

    again = tmp_path / "again"
    timeless = [[{**row, "seconds": ""} for row in rows(folder)] for folder in (report, again)]
    assert timeless[0] == timeless[1]
    assert (report / "dice.png").read_bytes() == (again / "dice.png").read_bytes()
    assert (report / "cases.png").read_bytes() == (again / "cases.png").read_bytes()
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (report, again))
    assert without_times(first) == without_times(second)


@pytest.mark.usefixtures("clean_environ")
def test_a_case_that_fails_is_reported_and_does_not_take_the_others_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    (data / "imagesTr" / "a.nii.gz").write_bytes(b"no image")

    code = run(model, data, "-o", tmp_path / "report", "--clicks", 1)

    assert code == 1
    assert re.search(r"^error: a: .*a\.nii\.gz", capsys.readouterr().err, re.MULTILINE)
    assert {row["case"] for row in rows(tmp_path / "report")} == set(NAMES) - {"a"}
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert [each["case"] for each in summary["failed"]] == ["a"]
    assert "could not be evaluated" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.usefixtures("clean_environ")
def test_where_all_cases_fail_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = tmp_path / "data", write_model(tmp_path / "model")
    truth = np.zeros(SHAPE, np.uint8)
    write_case(data, "a", truth, truth > 0)
    case = toys.case(truth > 0, truth > 0)
    nifti(data / "labelsTr" / "a.nii.gz", case.truth.with_array(truth + 2))

    code = run(model, data, "-o", tmp_path / "made" / "report")

    assert code == 1
    assert "error: a: truth: expected classes 0 to 1, got 2" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


@pytest.mark.usefixtures("clean_environ")
def test_protocols_seeds_and_postprocessing_are_chosen(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    chosen = ["--protocol", "autopet4", "--seed", 7, "--clicks", 1, "--postprocessing", "off"]

    assert run(model, data, "-o", tmp_path / "report", *chosen) == 0

    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["protocol"] == {"name": "autopet4", "steps": 1, "seed": 7, "auc_from_step": 0}
    assert summary["postprocessing"] is False


@pytest.mark.usefixtures("clean_environ")
def test_only_the_cases_of_a_fold_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    entries = [
        {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz", "fold": number}
        for number, name in enumerate(NAMES)
    ]
    (data / "list.json").write_text(json.dumps({"training": entries}))

    assert run(model, data / "list.json", "-o", tmp_path / "r", "--clicks", 0, "--fold", 0, "--fold", 2) == 0
    assert run(model, data / "list.json", "-o", tmp_path / "other", "--fold", 3) == 2

    assert {(row["case"], row["fold"]) for row in rows(tmp_path / "r")} == {("a", "0"), ("empty", "2")}
    facts = json.loads((tmp_path / "r" / "summary.json").read_text())
    taken = [case for case in find_cases(data / "list.json", ("PT",)) if case.fold in (0, 2)]
    assert facts["folds"] == [0, 2]
    assert facts["data_sha256"] == digests_of(taken).sha256
    assert capsys.readouterr().err == "error: fold: expected one of 0, 1, 2, got 3\n"
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("clean_environ")
def test_the_folds_are_those_of_training(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    folds = make_folds(find_cases(data, ("PT",)), 3, seed=0)

    assert run(model, data, "-o", tmp_path / "report", "--clicks", 0, "--fold", 1, "--folds", 3) == 0

    (held_out,) = folds[1].held_out
    assert {(row["case"], row["fold"]) for row in rows(tmp_path / "report")} == {(held_out.name, "1")}


@pytest.mark.usefixtures("clean_environ")
def test_the_regions_of_an_rtstruct_that_are_meant_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model finds nothing: what is missed is all of the region, 3 x 4 voxels of one slice."""
    geometry = phantoms.oblique_geometry()
    values = geometry.with_array(np.full(geometry.spatial_shape, toys.NOT_FOUND, np.float32))
    image = dcmread(next(phantoms.write(tmp_path / "data" / "CT", values).iterdir()))
    corners = {"mass": [(2.5, 3.5), (2.5, 7.5), (5.5, 7.5), (5.5, 3.5)], "oedema": [(0, 0), (0, 12), (10, 12), (10, 0)]}
    contours = {
        name: [geometry.map_indices_to_reference(np.array([(3.0, *corner) for corner in each]))]
        for name, each in corners.items()
    }
    rtstruct(tmp_path / "data" / "rs.dcm", image, contours)
    model = toys.write_model(tmp_path / "model", radius_vox=2)

    code = run(model, tmp_path / "data", "-o", tmp_path / "report", "--clicks", 0, "--truth", "Mass, tumour")
    refused = run(model, tmp_path / "data", "-o", tmp_path / "other", "--truth", "mass", "--truth", "oedema")

    assert (code, refused) == (0, 2)
    (first, _) = rows(tmp_path / "report")
    assert float(first["fnv_ml"]) == pytest.approx(3 * 4 * 1.7 * 0.9 * 3.1 / 1000)
    assert capsys.readouterr().err == "error: truth: expected names of at most 1 class, got 2\n"


@pytest.mark.usefixtures("clean_environ")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clicks", "-1"], "clicks: expected 0 to 100, got -1"),
        (["--clicks", "101"], "clicks: expected 0 to 100, got 101"),
        (["--seed", "-1"], "seed: expected a number of at least 0, got -1"),
        (["--postprocessing", "perhaps"], "postprocessing: expected on or off, got 'perhaps'"),
    ],
)
def test_wrong_use_is_one_error_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(tmp_path / "model", tmp_path / "data", "-o", tmp_path / "report", *arguments)

    assert code == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not (tmp_path / "report").exists()


@pytest.mark.usefixtures("clean_environ")
def test_a_model_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = write_model(tmp_path / "models" / "finder").parent

    code = run("other", write_data(tmp_path / "data"), "-o", tmp_path / "report", "-m", models)

    assert code == 1
    assert capsys.readouterr().err == "error: no model 'other': expected one of finder\n"


@pytest.mark.usefixtures("clean_environ")
def test_a_missing_library_is_one_error_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the image for CPUs, which has none of them."""
    from importlib.util import find_spec

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("edt", "jinja2") else find_spec(name))

    code = run(tmp_path / "model", tmp_path / "data", "-o", tmp_path / "report")

    assert code == 1
    assert capsys.readouterr().err == ("error: not installed: edt, Jinja2\nhint: pip install 'clickseg[train]'\n")


@pytest.mark.usefixtures("clean_environ")
def test_an_interrupted_evaluation_leaves_nothing(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    settings = settings_of(model, data, tmp_path / "report", steps=2)
    done = []

    def interrupting(count: int, _all: int) -> None:
        done.append(count)
        if count == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(settings, interrupting)

    assert done == [1, 2, 3, 4]
    assert not (tmp_path / "report").exists()


@pytest.mark.usefixtures("clean_environ")
def test_progress_comes_to_its_end_though_cases_fail(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")
    (data / "imagesTr" / "empty.nii.gz").write_bytes(b"no image")
    settings = settings_of(model, data, tmp_path / "report", steps=1)
    told = []

    evaluate(settings, lambda *counts: told.append(counts))

    assert told == [(count, 6) for count in range(1, 7)]


IMPORTED = """
import json, sys
from clickseg.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted({"torch", "monai", "holoscan"} & set(sys.modules))]))
"""


def test_evaluation_on_a_cpu_imports_neither_torch_nor_monai(tmp_path: Path) -> None:
    data, model = write_data(tmp_path / "data"), write_model(tmp_path / "model")

    ended = runs.process(
        ["python", "-c", IMPORTED, "evaluate", model, data, "-o", tmp_path / "r", "--clicks", 1, "--device", "cpu"]
    )

    assert json.loads(ended.stdout.splitlines()[-1]) == [0, []]
