"""``clickseg train`` at the door: a run on a small dataset, killed and gone on with, in one process and in two."""

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


def words(dataset: Path, run: Path, *more: str) -> list[object]:
    changes = [word for change in SMALL for word in ("--set", change)]
    return ["train", dataset, "-o", run, "--device", "cpu", *changes, *more]


def trained(dataset: Path, run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return runs.clickseg(*words(dataset, run, *more))


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "pet_lesion" / "models" / "model.pt", weights_only=True)
    return state


def saved(run: Path) -> dict[str, Any]:
    """Returns what a checkpoint holds."""
    content: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    return content


def leaves(content: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yields each value of nested mappings and sequences, with its place."""
    if isinstance(content, Mapping | list | tuple):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, content


def equal(value: object, other: object) -> bool:
    return torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


@pytest.fixture(scope="module")
def done(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is over."""
    run = tmp_path_factory.mktemp("runs") / "done"
    ended = trained(dataset, run)
    assert ended.returncode == 0, ended.stderr
    return run


def test_a_run_ends_in_a_package_that_segments(dataset: Path, tmp_path: Path) -> None:
    ended = trained(dataset, tmp_path / "run", "--fold", "0", "--folds", "3", "--set", "validate_every=1")

    assert ended.returncode == 0, ended.stderr
    package = load_package(tmp_path / "run" / "pet_lesion")
    assert {*package.spec.weights} == {"model.pt", "model.xml", "model.bin"}
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(record["learnt_from"]) == 2
    assert len(record["held_out"]) == 1
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    card = (package.path / "docs" / "README.md").read_text()
    assert "| cases | 2 |" in card
    phantoms.write(tmp_path / "study", phantoms.hook(runs.GEOMETRY, 8.0, 0.3), "PT", "test")
    segmented = runs.clickseg(
        "segment", tmp_path / "study", "-m", package.path, "-o", tmp_path / "out", "--postprocessing", "off"
    )
    assert segmented.returncode == 0, segmented.stderr


@pytest.mark.slow
def test_cases_and_batches_are_counted_on_a_terminal(dataset: Path, tmp_path: Path) -> None:
    ended = runs.clickseg(*words(dataset, tmp_path / "run", "--set", "epochs=1"), CLICKSEG_PROGRESS="1")

    assert ended.returncode == 0, ended.stderr
    bars = re.findall(r"0/(\d+) \[[^]]*\?(\w+)/s\]", ended.stderr)
    assert bars == [("3", "case"), ("2", "batch")]


def test_a_run_ends_in_a_package_that_can_be_evaluated(dataset: Path, done: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"

    ended = runs.clickseg("evaluate", done / "pet_lesion", dataset, "-o", report, "--clicks", "2")

    assert ended.returncode == 0, ended.stderr
    cases = json.loads((report / "summary.json").read_text())["cases"]
    assert len({each["case"] for each in cases}) == 3
    assert (report / "report.html").is_file()


def test_the_package_holds_the_average_of_the_weights(done: Path) -> None:
    checkpoint, shipped = saved(done), weights(done)

    for name, value in shipped.items():
        assert torch.equal(value, checkpoint["average"][f"module.{name}"].to(value.dtype)), name
    assert any(not torch.equal(value, checkpoint["network"][name].to(value.dtype)) for name, value in shipped.items())


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(dataset: Path, tmp_path: Path) -> None:
    more = ("--set", "epochs=20", "--set", "workers=1")
    whole = trained(dataset, tmp_path / "whole", *more)
    command = [str(Path(sys.executable).with_name("clickseg")), *map(str, words(dataset, tmp_path / "killed", *more))]
    with subprocess.Popen(command, env=runs.environment()) as run:
        checkpoint = tmp_path / "killed" / "checkpoint.pt"
        while not checkpoint.exists() and run.poll() is None:
            time.sleep(0.05)
        time.sleep(np.random.default_rng().uniform(0, 0.5))
        run.send_signal(signal.SIGKILL)
    killed_after = saved(tmp_path / "killed")["epoch"]

    ended = trained(dataset, tmp_path / "killed", *more)

    assert whole.returncode == 0, whole.stderr
    assert run.returncode == -signal.SIGKILL
    assert ended.returncode == 0, ended.stderr
    assert f"going on after epoch {killed_after} of 20" in ended.stderr
    expected, found = (dict(leaves(saved(tmp_path / name))) for name in ("whole", "killed"))
    assert {name.split(".")[0] for name in expected} >= {"network", "average", "optimizer", "scheduler", "epoch"}
    assert {name for name, value in expected.items() if not equal(value, found[name])} == set()
    assert found.keys() == expected.keys()


def test_a_run_that_learns_from_synthetic_volumes_alone_names_no_case(dataset: Path, tmp_path: Path) -> None:
    ended = trained(dataset, tmp_path / "run", "--set", "synthesis.share=1", "--set", "epochs=1")

    assert ended.returncode == 0, ended.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["learnt_from"], record["held_out"]) == ({}, {})
    assert "| cases | 0 |" in (tmp_path / "run" / "pet_lesion" / "docs" / "README.md").read_text()


def test_a_run_that_is_over_is_not_run_again(dataset: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.pt").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "run" / "pet_lesion")

    ended = trained(dataset, tmp_path / "run")

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "checkpoint.pt").stat().st_mtime_ns == before
    assert (tmp_path / "run" / "pet_lesion" / "models" / "model.xml").is_file()


def test_a_network_that_does_not_fit_leaves_nothing_that_hinders_the_next_run(dataset: Path, tmp_path: Path) -> None:
    ended = trained(dataset, tmp_path / "run", "--set", "network.in_channels=5")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-2].startswith("error: network: cannot be run on")
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_left_alone(dataset: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}

    ended = trained(dataset, tmp_path / "run", "--set", "seed=8")

    assert ended.returncode == 1
    assert "a run with another configuration" in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


@pytest.mark.slow
def test_two_processes_learn_what_one_does_from_batches_twice_as_large(dataset: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    torchrun = ["python", "-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-addr", "127.0.0.1"]
    each_alone = ("clicking.most=0", "synthesis.share=0", "optimization.fix_statistics_after=0")
    same = [word for change in each_alone for word in ("--set", change)]
    command = [*torchrun, "--master-port", port, "-m", "clickseg", *words(dataset, tmp_path / "two", *same)]
    for _ in ("trains", "is over, and not run again"):
        ended = runs.process([*command, "--set", "batch=1"], GLOO_SOCKET_IFNAME="lo")  # whatever this machine is called

        assert ended.returncode == 0, ended.stderr
        shutil.rmtree(tmp_path / "two" / "pet_lesion")

    one = trained(dataset, tmp_path / "one", *same, "--set", "batch=2")
    alone = trained(dataset, tmp_path / "two", *same, "--set", "batch=1")

    assert one.returncode == 0, one.stderr
    learnt = saved(tmp_path / "one")["network"]
    for name, value in saved(tmp_path / "two")["network"].items():
        assert torch.allclose(value, learnt[name], rtol=1e-3, atol=1e-5), name
    assert alone.returncode == 1
    assert "number of processes" in alone.stderr


def test_a_damaged_checkpoint_is_one_error(dataset: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"nothing")

    ended = trained(dataset, tmp_path / "run")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: checkpoint.pt: damaged")


def test_the_whole_configuration_can_be_printed(tmp_path: Path) -> None:
    ended = runs.clickseg("train", tmp_path, "-o", tmp_path / "run", "--print-config", "--set", "seed=3")

    assert ended.returncode == 0, ended.stderr
    assert "\nseed: 3\n" in ended.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fold", ["-1", "3"])
def test_a_fold_is_one_of_the_folds(dataset: Path, tmp_path: Path, fold: str) -> None:
    ended = trained(dataset, tmp_path / "run", "--fold", fold, "--folds", "3")

    assert ended.returncode == 2
    assert f"error: fold: expected one of 0, 1, 2, got {fold}" in ended.stderr


def test_a_device_is_one_that_there_is(dataset: Path, tmp_path: Path) -> None:
    ended = trained(dataset, tmp_path / "run", "--device", "gpu")

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "error: device: expected auto, cpu, cuda or cuda:N, got 'gpu'"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_interrupted_run_says_so_and_can_go_on(dataset: Path, tmp_path: Path) -> None:
    more = ("--set", "epochs=1000")
    command = [str(Path(sys.executable).with_name("clickseg")), *map(str, words(dataset, tmp_path / "run", *more))]
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
    """As in the images, which have none of them."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("edt", "ignite") else find_spec(name))

    code = main(["train", str(tmp_path), "-o", str(tmp_path / "run")])

    assert code == 1
    assert capsys.readouterr().err == "error: not installed: edt, pytorch-ignite\nhint: pip install 'clickseg[train]'\n"
