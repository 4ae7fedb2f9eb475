"""The scripts for a machine with a GPU: they work without the packages that it lacks, and continue earlier runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from clickseg.models.package import load_package
from scripts.gpu import stages, training_plan
from scripts.gpu.cases import read_cases, write_cases
from scripts.gpu.package import write_packages
from scripts.gpu.results import StageOptions, read_rows
from scripts.gpu.weights import load_run, save_run
from tests.helpers import runs
from tests.helpers.oracles import torch

WITHOUT_CPU_PACKAGES = """
import sys
sys.modules["openvino"] = sys.modules["SimpleITK"] = None
from clickseg.inference.engines.cuda_runtime import load_cuda_runtime
load_cuda_runtime()
"""


def write_pack(folder: Path) -> Path:
    """Writes a pack with two small cases in two folds."""
    (folder / "cases").mkdir(parents=True)
    for fold in range(2):
        truth = np.zeros((20, 24, 28), np.uint8)
        truth[8:14, 9:15, 10 + fold : 19] = 1
        np.savez(
            folder / "cases" / f"STS_{fold}_PET.npz",
            images=(truth + np.random.default_rng(fold).random(truth.shape))[np.newaxis].astype(np.float16),
            truth=truth,
            modality=np.array("PT"),
            fold=np.array(fold),
        )
    return folder


def test_the_tests_for_a_gpu_need_neither_openvino_nor_simpleitk() -> None:
    collect = (
        "import pytest; sys.exit(pytest.main(['-c', 'scripts/gpu/pytest.ini', '--collect-only', '-q', 'tests/gpu']))"
    )

    ended = runs.run_process(["python", "-W", "ignore", "-c", WITHOUT_CPU_PACKAGES + collect], runs.REPOSITORY)

    assert ended.returncode == 0, ended.stdout
    assert int(ended.stdout.rpartition(" tests collected")[0].rpartition("\n")[2]) > 30


def test_the_stages_need_neither_openvino_nor_simpleitk() -> None:
    imports = "import " + ", ".join(f"scripts.gpu.{stage.name}" for stage in stages.STAGES)

    ended = runs.run_process(["python", "-W", "ignore", "-c", WITHOUT_CPU_PACKAGES + imports], runs.REPOSITORY)

    assert ended.returncode == 0, ended.stderr


def test_the_parts_of_the_training_continue_until_their_time_is_over() -> None:
    first, second = training_plan.PLAN[:2]

    parts = list(training_plan.remaining_parts({first.name: first.seconds + 1, second.name: 20.0}))

    assert parts[0] == (second, second.seconds - 20)
    assert [part.name for part, _ in parts] == [part.name for part in training_plan.PLAN[1:]]


def test_a_pack_contains_the_weights_that_the_next_run_needs() -> None:
    finished = {part.name: part.seconds for part in training_plan.PLAN}
    pretrained, model, fold = (part.name for part in training_plan.PLAN[:3])

    assert training_plan.files_to_continue({}) == []
    assert training_plan.files_to_continue({pretrained: 5.0}) == ["pretrained.pt"]
    assert training_plan.files_to_continue({pretrained: 500.0, model: 500.0, fold: 5.0}) == [
        "pretrained.pt",
        f"{fold}.pt",
    ]
    assert training_plan.files_to_continue(finished) == []


def test_the_weights_of_a_run_are_saved_in_half_precision_with_its_progress(tmp_path: Path) -> None:
    network, other = (torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2)) for _ in range(2))

    save_run(network, epoch=7, seconds=12.5, loss=0.25, path=tmp_path / "part.pt")
    saved = load_run(tmp_path / "part.pt")

    assert saved is not None
    assert (saved.epoch, saved.seconds, saved.loss) == (7, 12.5, 0.25)
    saved.load_into(other)
    for name, values in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], values.half().to(values.dtype)), name
    assert load_run(tmp_path / "missing.pt") is None


def test_a_stage_that_fails_or_exceeds_its_time_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs.REPOSITORY)
    monkeypatch.setattr(stages, "STAGES", (stages.Stage("unknown", 60), stages.Stage("train", 0.2)))

    code = stages.run_stages([], StageOptions(tmp_path, tmp_path / "out", 0, dry=False))

    assert code == 1
    rows = read_rows(tmp_path / "out" / "stages.json")
    assert [(row["stage"], row["result"]) for row in rows] == [
        ("unknown", "exit code 2, see log.txt"),
        ("train", "time limit"),
    ]
    assert "invalid choice: 'unknown'" in (tmp_path / "out" / "log.txt").read_text()
    assert "| train | time limit |" in capsys.readouterr().out


@pytest.mark.slow
def test_all_stages_run_on_the_cpu_and_their_weights_become_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, results = write_pack(tmp_path / "pack"), tmp_path / "results"

    ended = runs.run_process(
        ["scripts/gpu/run", "--dry"], runs.REPOSITORY, PACK=str(pack), OUT=str(results), PYTHON=sys.executable
    )

    assert ended.returncode == 0, ended.stdout + (results / "log.txt").read_text()
    assert [row["result"] for row in read_rows(results / "stages.json")] == ["success"] * 3
    assert read_rows(results / "tests.json")[0]["failed"] == 0
    identical = {row["method"]: row["identical labels %"] for row in read_rows(results / "inference.json")[1:]}
    assert identical["ClickSeg f32"] == 100
    assert [row["part"] for row in read_rows(results / "train.json")] == [part.name for part in training_plan.PLAN]
    make_config = training_plan.Part.make_config
    monkeypatch.setattr(
        training_plan.Part,
        "make_config",
        lambda part, workers, dry, card: make_config(part, workers, dry=True, card=card),  # noqa: ARG005
    )
    packages = write_packages(results, pack / "cases", tmp_path / "runs")
    assert load_package(tmp_path / "runs" / "pet_lesion" / "pet_lesion").has_weights("model.xml")
    assert len(packages) == len(training_plan.PLAN) - 1
    record = json.loads((tmp_path / "runs" / "pet_lesion-folds" / "1" / "run.json").read_text())
    assert list(record["held_out"]) == ["STS_1_PET"]


@pytest.mark.slow
def test_the_cases_of_the_dataset_are_packed_on_the_model_grid(sarcoma: Path, tmp_path: Path) -> None:
    write_cases(sarcoma, tmp_path / "cases", "PT")

    cases = list(read_cases(tmp_path / "cases", "PT"))

    assert len(cases) == 36
    assert {packed.fold for packed in cases} == {0, 1, 2, 3, 4}
    assert all(packed.case.truth.any() for packed in cases)
    assert all(packed.case.images.min() >= 0 and packed.case.images.max() <= 5 for packed in cases)  # sqrt of SUV 25
