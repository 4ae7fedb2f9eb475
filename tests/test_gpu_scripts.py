"""The scripts for a machine with a GPU: they work without the packages that it lacks, and continue earlier runs."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from packaging.utils import canonicalize_name

from clickseg.models.package import load_package
from scripts.gpu import __main__ as gpu_main
from scripts.gpu import stages, train, training_plan, utilization
from scripts.gpu import tests as gpu_tests
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


ON_THE_MACHINE = {
    *(
        "coverage",
        "cupy-cuda13x",
        "filelock",
        "hypothesis",
        "jinja2",
        "matplotlib",
        "numba",
        "numpy",
        "nvidia-cuda-runtime",
    ),
    *("onnxscript", "packaging", "pillow", "psutil", "pytest", "pytest-cov", "pytest-xdist", "pyyaml", "scipy"),
    *("tensorboard", "torch", "tqdm"),
    *("holoscan-cli", "holoscan-cu13", "monai-deploy-app-sdk"),  # absent, but here MONAI imports them
}


def missing_modules() -> list[str]:
    """Returns the modules of the requirements of ClickSeg and its tests that neither the machine nor the pack has."""
    names = ("requirements.txt", "requirements-cpu.txt", "requirements-dev.txt")
    required = set().union(*(required_packages(runs.REPOSITORY / name) for name in names))
    missing = required - ON_THE_MACHINE - required_packages(runs.REPOSITORY / "scripts" / "gpu" / "requirements.txt")
    return [
        module
        for module, packages in packages_distributions().items()
        if missing & {canonicalize_name(package) for package in packages}
    ]


def required_packages(path: Path) -> set[str]:
    return {canonicalize_name(line.partition("==")[0]) for line in path.read_text().splitlines() if "==" in line}


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


def test_the_load_of_a_gpu_is_its_utilization_and_its_peak_of_used_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([7e9, 2e9, *[6e9] * 1000])
    monkeypatch.setattr(utilization, "_INTERVAL_S", 0.001)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)  # it has no GPU here
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(next(free)), 10_000_000_000))
    monkeypatch.setattr(torch.cuda, "utilization", lambda: 40)

    with utilization.measure_load("cuda") as load:
        time.sleep(0.05)

    assert load.peak_gb == 8.0
    assert load.mean_utilization == 40


def test_a_gpu_that_does_not_report_its_utilization_is_measured_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise RuntimeError("cuda driver can't be loaded")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)  # it has no GPU here
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1, 3_000_000_001))
    monkeypatch.setattr(torch.cuda, "utilization", fail)

    with utilization.measure_load("cuda") as load:
        pass

    assert (load.peak_gb, load.mean_utilization) == (3.0, "unknown")


def test_samples_are_made_by_as_many_processes_as_have_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    config = training_plan.PLAN[0].make_config(0, dry=False)
    monkeypatch.setattr(train, "processor_count", lambda: 16)
    counts = []

    for free in (1 << 36, 200 << 20, 1 << 20):  # a batch takes 8 * 5 * 48^3 * 4 bytes: 17 MiB
        monkeypatch.setattr(train, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        counts.append(train.worker_count(config))

    assert counts == [8, 1, 0]


def test_the_time_limit_of_a_stage_includes_its_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = []
    stage = SimpleNamespace(run=lambda options: seconds.append(options.seconds))
    monkeypatch.setattr(gpu_main, "import_module", lambda _: time.sleep(0.2) or stage)
    monkeypatch.setattr(sys, "argv", ["gpu", "train", f"--pack={tmp_path}", f"--output={tmp_path}", "--seconds=60"])

    gpu_main.main()

    assert 50 < seconds[0] < 59.9


def test_the_outcome_of_each_test_is_written_before_the_next_one_runs(tmp_path: Path) -> None:
    counter = gpu_tests._OutcomeCounter(tmp_path / "tests.json")
    reports = [("a", "call", "passed"), ("b", "setup", "skipped"), ("c", "setup", "passed"), ("c", "call", "failed")]
    rows = []

    for name, when, outcome in reports:
        counter.pytest_runtest_logreport(
            SimpleNamespace(
                nodeid=name, when=when, outcome=outcome, passed=outcome == "passed", failed=outcome == "failed"
            )
        )
        rows.append(read_rows(tmp_path / "tests.json"))

    assert [tuple(row[0].values())[1:] for row in (rows[0], rows[-1])] == [(1, 0, 0), (1, 1, 1)]
    assert rows[-1][1:] == [{"failed test": "c"}]


@pytest.mark.slow
def test_all_stages_run_on_the_cpu_without_packages_that_the_machine_lacks_and_their_weights_become_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, results = write_pack(tmp_path / "pack"), tmp_path / "results"
    assert {"openvino", "SimpleITK", "gdcm"} <= set(missing_modules())
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({missing_modules()}))\n"  # None: their import fails
    )
    variables = {"PACK": str(pack), "OUT": str(results), "PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)}

    ended = runs.run_process(["scripts/gpu/run", "--dry"], runs.REPOSITORY, **variables)

    assert ended.returncode == 0, ended.stdout + (results / "log.txt").read_text()
    assert [row["result"] for row in read_rows(results / "stages.json")] == ["success"] * 3
    assert read_rows(results / "tests.json")[0]["failed"] == 0
    methods = [row["method"] for row in read_rows(results / "inference.json")]
    assert methods[:2] == ["SW-FastEdit f32", "MONAI f32"]
    assert methods[-1] == "MONAI f32, transforms on the CPU"  # the slowest one
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
