"""``clickseg train`` on a small dataset: complete runs, interrupted and resumed runs, one and two processes."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clickseg.cli.main import main
from clickseg.models.package import load_package
from tests.helpers import phantoms, runs
from tests.helpers.training_cases import SMALL, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset") / "data")


def train_command(dataset: Path, run: Path, *options: str) -> list[object]:
    changes = [argument for change in SMALL for argument in ("--set", change)]
    return ["train", dataset, "-o", run, "--device", "cpu", *changes, *options]


def train(dataset: Path, run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return runs.run_clickseg(*train_command(dataset, run, *options))


def package_weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "pet_lesion" / "models" / "model.pt", weights_only=True)
    return state


def load_checkpoint(run: Path) -> dict[str, Any]:
    """Returns the content of the checkpoint of a run."""
    content: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    return content


def flatten(content: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yields the path and the value of each leaf of nested mappings and sequences."""
    if isinstance(content, Mapping | list | tuple):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from flatten(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, content


def is_equal(value: object, other: object) -> bool:
    return torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a finished run."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    result = train(dataset, run)
    assert result.returncode == 0, result.stderr
    return run


def test_a_run_creates_a_package_that_can_segment(dataset: Path, tmp_path: Path) -> None:
    result = train(dataset, tmp_path / "run", "--fold", "0", "--folds", "3", "--set", "validate_every=1")

    assert result.returncode == 0, result.stderr
    package = load_package(tmp_path / "run" / "pet_lesion")
    assert {*package.spec.weights} == {"model.pt", "model.xml", "model.bin"}
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(record["training"]) == 2
    assert len(record["held_out"]) == 1
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    card = (package.path / "docs" / "README.md").read_text()
    assert "| training cases | 2 |" in card
    phantoms.write(tmp_path / "study", phantoms.hook_volume(runs.GEOMETRY, 8.0, 0.3), "PT", "test")
    segmented = runs.run_clickseg(
        "segment", tmp_path / "study", "-m", package.path, "-o", tmp_path / "out", "--postprocessing", "off"
    )
    assert segmented.returncode == 0, segmented.stderr


@pytest.mark.slow
def test_progress_of_cases_and_batches_is_shown_on_a_terminal(dataset: Path, tmp_path: Path) -> None:
    result = runs.run_clickseg(*train_command(dataset, tmp_path / "run", "--set", "epochs=1"), CLICKSEG_PROGRESS="1")

    assert result.returncode == 0, result.stderr
    bars = re.findall(r"0/(\d+) \[[^]]*\?(\w+)/s\]", result.stderr)
    assert bars == [("3", "case"), ("2", "batch")]


def test_a_run_creates_a_package_that_can_be_evaluated(dataset: Path, finished: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"

    result = runs.run_clickseg("evaluate", finished / "pet_lesion", dataset, "-o", report, "--steps", "2")

    assert result.returncode == 0, result.stderr
    cases = json.loads((report / "summary.json").read_text())["cases"]
    assert len({row["case"] for row in cases}) == 3
    assert (report / "report.html").is_file()


def test_the_package_contains_the_averaged_weights(finished: Path) -> None:
    checkpoint, shipped = load_checkpoint(finished), package_weights(finished)

    for name, value in shipped.items():
        assert torch.equal(value, checkpoint["ema"][f"module.{name}"].to(value.dtype)), name
    assert any(not torch.equal(value, checkpoint["network"][name].to(value.dtype)) for name, value in shipped.items())


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_weights(dataset: Path, tmp_path: Path) -> None:
    options = ("--set", "epochs=20", "--set", "num_workers=1")
    uninterrupted = train(dataset, tmp_path / "uninterrupted", *options)
    command = [
        str(Path(sys.executable).with_name("clickseg")),
        *map(str, train_command(dataset, tmp_path / "killed", *options)),
    ]
    with subprocess.Popen(command, env=runs.environment()) as run:
        checkpoint = tmp_path / "killed" / "checkpoint.pt"
        while not checkpoint.exists() and run.poll() is None:
            time.sleep(0.05)
        time.sleep(np.random.default_rng().uniform(0, 0.5))
        run.send_signal(signal.SIGKILL)
    killed_after = load_checkpoint(tmp_path / "killed")["epoch"]

    result = train(dataset, tmp_path / "killed", *options)

    assert uninterrupted.returncode == 0, uninterrupted.stderr
    assert run.returncode == -signal.SIGKILL
    assert result.returncode == 0, result.stderr
    assert f"resuming after epoch {killed_after} of 20" in result.stderr
    expected, resumed = (dict(flatten(load_checkpoint(tmp_path / name))) for name in ("uninterrupted", "killed"))
    assert {name.split(".")[0] for name in expected} >= {"network", "ema", "optimizer", "scheduler", "epoch"}
    assert {name for name, value in expected.items() if not is_equal(value, resumed[name])} == set()
    assert resumed.keys() == expected.keys()


def test_a_run_on_synthetic_volumes_only_records_no_case(dataset: Path, tmp_path: Path) -> None:
    result = train(dataset, tmp_path / "run", "--set", "synthesis.probability=1", "--set", "epochs=1")

    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["training"], record["held_out"]) == ({}, {})
    assert "| training cases | 0 |" in (tmp_path / "run" / "pet_lesion" / "docs" / "README.md").read_text()


def test_a_finished_run_is_not_trained_again(dataset: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.pt").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "run" / "pet_lesion")

    result = train(dataset, tmp_path / "run")

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "checkpoint.pt").stat().st_mtime_ns == before
    assert (tmp_path / "run" / "pet_lesion" / "models" / "model.xml").is_file()


def test_no_run_folder_is_created_for_a_network_that_does_not_fit(dataset: Path, tmp_path: Path) -> None:
    result = train(dataset, tmp_path / "run", "--set", "network.in_channels=5")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-2].startswith("error: network: cannot be run on")
    assert not (tmp_path / "run").exists()


def test_the_folder_of_another_run_is_not_changed(dataset: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}

    result = train(dataset, tmp_path / "run", "--set", "seed=8")

    assert result.returncode == 1
    assert "a run with another configuration" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


@pytest.mark.slow
def test_two_processes_train_like_one_process_with_twice_the_batch_size(dataset: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    torchrun = ["python", "-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-addr", "127.0.0.1"]
    independent_samples = (
        "clicking.max_rounds=0",
        "synthesis.probability=0",
        "optimization.freeze_batch_norm_after_epochs=0",
    )
    same = [argument for change in independent_samples for argument in ("--set", change)]
    command = [*torchrun, "--master-port", port, "-m", "clickseg", *train_command(dataset, tmp_path / "two", *same)]
    for _ in ("trains", "is finished and not trained again"):
        # With the loopback interface the test does not depend on the host name.
        result = runs.run_process([*command, "--set", "batch_size=1"], GLOO_SOCKET_IFNAME="lo")

        assert result.returncode == 0, result.stderr
        shutil.rmtree(tmp_path / "two" / "pet_lesion")

    one = train(dataset, tmp_path / "one", *same, "--set", "batch_size=2")
    alone = train(dataset, tmp_path / "two", *same, "--set", "batch_size=1")

    assert one.returncode == 0, one.stderr
    expected = load_checkpoint(tmp_path / "one")["network"]
    for name, value in load_checkpoint(tmp_path / "two")["network"].items():
        assert torch.allclose(value, expected[name], rtol=1e-3, atol=1e-5), name
    assert alone.returncode == 1
    assert "number of processes" in alone.stderr


def test_a_damaged_checkpoint_is_one_error(dataset: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"damaged")

    result = train(dataset, tmp_path / "run")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: checkpoint.pt: damaged")


def test_the_complete_configuration_can_be_printed(tmp_path: Path) -> None:
    result = runs.run_clickseg("train", tmp_path, "-o", tmp_path / "run", "--print-config", "--set", "seed=3")

    assert result.returncode == 0, result.stderr
    assert "\nseed: 3\n" in result.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fold", ["-1", "3"])
def test_a_fold_that_does_not_exist_is_rejected(dataset: Path, tmp_path: Path, fold: str) -> None:
    result = train(dataset, tmp_path / "run", "--fold", fold, "--folds", "3")

    assert result.returncode == 2
    assert f"error: fold: expected one of 0, 1, 2, got {fold}" in result.stderr


def test_an_unknown_device_is_rejected(dataset: Path, tmp_path: Path) -> None:
    result = train(dataset, tmp_path / "run", "--device", "gpu")

    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "error: device: expected auto, cpu, cuda or cuda:N, got 'gpu'"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_interrupted_run_ends_with_one_error_and_no_temporary_files(dataset: Path, tmp_path: Path) -> None:
    options = ("--set", "epochs=1000")
    command = [
        str(Path(sys.executable).with_name("clickseg")),
        *map(str, train_command(dataset, tmp_path / "run", *options)),
    ]
    run = subprocess.Popen(command, env=runs.environment(), stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "checkpoint.pt").exists() and run.poll() is None:
        time.sleep(0.05)

    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=runs.HANG_S)

    assert errors.splitlines()[-1] == "error: interrupted"
    assert not {"Traceback", "terminating"} & set(errors.split())
    assert run.returncode == 1
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


def test_a_missing_library_is_one_error_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the container images, which do not contain the libraries of training."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("edt", "ignite") else find_spec(name))

    code = main(["train", str(tmp_path), "-o", str(tmp_path / "run")])

    assert code == 1
    assert (
        capsys.readouterr().err
        == "error: required libraries are not installed: edt, pytorch-ignite\nhint: pip install 'clickseg[train]'\n"
    )
