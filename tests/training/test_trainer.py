"""A run in this process: random numbers, resuming, and errors."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.engines import SupervisedTrainer

from clickseg.core.errors import DeviceMemoryError, EngineError, InputError, ModelError
from clickseg.inference.engines.network import build_from_definition
from clickseg.training.checkpoint import (
    CHECKPOINT_FILE,
    TrainingState,
    initial_weights_digest,
    make_record,
    open_run_folder,
    save_checkpoint,
)
from clickseg.training.config import TrainingConfig, config_to_yaml, read_config
from clickseg.training.network import make_network
from clickseg.training.package import write_bundle
from clickseg.training.processes import Processes, join_processes
from clickseg.training.trainer import Hooks, TrainingRun, make_run, run_epochs
from tests.helpers.training_cases import SMALL

SINGLE_PROCESS = Processes(0, 1, torch.device("cpu"))


class SavingHooks(Hooks):
    """Saves each epoch, and ends the run after the last one."""

    def __init__(self, folder: Path, last: int) -> None:
        self._folder, self._last = folder, last

    def after_epoch(self, engine: SupervisedTrainer, state: TrainingState) -> None:
        save_checkpoint(state, engine, self._folder / CHECKPOINT_FILE)
        if engine.state.epoch == self._last:
            engine.terminate()


def make_config(*changes: str) -> TrainingConfig:
    return read_config(["pet_lesion"], [*SMALL, "clicking.max_rounds=1", *changes])


def start_run(config: TrainingConfig, folder: Path, hooks: Hooks) -> TrainingRun:
    return make_run(config, make_network(config, folder, SINGLE_PROCESS), (), folder, SINGLE_PROCESS, hooks)


def train_weights(config: TrainingConfig, folder: Path, last: int = 100) -> list[torch.Tensor]:
    run = start_run(config, folder, SavingHooks(folder, last))
    run_epochs(run, config)
    return list(run.state.network.parameters())


def test_dropout_of_a_resumed_run_equals_that_of_an_uninterrupted_run(tmp_path: Path) -> None:
    config = make_config("network.dropout=0.5")
    for name in ("uninterrupted", "resumed"):
        (tmp_path / name).mkdir()
    uninterrupted = train_weights(config, tmp_path / "uninterrupted")

    train_weights(config, tmp_path / "resumed", last=1)
    torch.manual_seed(99)
    resumed = train_weights(config, tmp_path / "resumed")

    assert all(torch.equal(a, b) for a, b in zip(uninterrupted, resumed, strict=True))


@pytest.mark.parametrize("after", ["null", "0", "1"])
def test_statistics_of_batch_normalization_are_frozen_after_an_epoch(tmp_path: Path, after: str) -> None:
    config = make_config("network.norm_name=batch", f"optimization.freeze_batch_norm_after_epochs={after}")
    run = start_run(config, tmp_path, SavingHooks(tmp_path, 1))
    initial = running_statistics(run)
    run_epochs(run, config)
    after_first = running_statistics(run)

    run = start_run(config, tmp_path, SavingHooks(tmp_path, 2))
    run_epochs(run, config)

    assert torch.equal(initial, after_first) == (after == "0")
    assert torch.equal(after_first, running_statistics(run)) == (after != "null")


def running_statistics(run: TrainingRun) -> torch.Tensor:
    return torch.cat([values.flatten() for name, values in run.state.network.named_buffers() if "running" in name])


def test_initial_weights_may_be_of_a_network_with_another_normalization(tmp_path: Path) -> None:
    config = make_config("network.norm_name=instance")
    source = build_from_definition(config.network, "network")
    write_bundle(config, source, {}, tmp_path / "package")

    run = start_run(make_config("network.norm_name=batch", f"initial_weights={tmp_path}/package"), tmp_path, Hooks())

    weights = run.state.network.state_dict()
    for name, expected in source.state_dict().items():
        assert torch.equal(weights[name], expected.half().float()), name


@pytest.mark.parametrize(
    ("change", "message"), [("filters=[4,8,16]", "do not fit"), ("res_block=true", "another network")]
)
def test_initial_weights_of_another_network_are_rejected(tmp_path: Path, change: str, message: str) -> None:
    write_bundle(make_config(), build_from_definition(make_config().network, "network"), {}, tmp_path / "package")

    with pytest.raises(ModelError, match=message):
        start_run(make_config(f"network.{change}", f"initial_weights={tmp_path}/package"), tmp_path, Hooks())


def test_a_run_is_resumed_without_its_initial_weights(tmp_path: Path) -> None:
    write_bundle(make_config(), build_from_definition(make_config().network, "network"), {}, tmp_path / "package")
    config = make_config(f"initial_weights={tmp_path}/package")
    for name in ("uninterrupted", "run"):
        (tmp_path / name).mkdir()
    uninterrupted = train_weights(config, tmp_path / "uninterrupted")
    train_weights(config, tmp_path / "run", last=1)
    shutil.rmtree(tmp_path / "package")

    resumed = train_weights(config, tmp_path / "run")

    assert all(torch.equal(a, b) for a, b in zip(uninterrupted, resumed, strict=True))


def test_a_run_with_other_initial_weights_is_another_run(tmp_path: Path) -> None:
    config, digests = make_config(f"initial_weights={tmp_path}/package"), list[str | None]()
    for _ in range(2):
        write_bundle(config, build_from_definition(config.network, "network"), {}, tmp_path / "package")
        digests.append(initial_weights_digest(config, tmp_path / "run"))
    record, other_record = (make_record(config, (), (), 1, digest) for digest in digests)
    open_run_folder(tmp_path / "run", config, record)

    with pytest.raises(InputError, match=r"a run with another .*initial weights"):
        open_run_folder(tmp_path / "run", config, other_record)

    assert record["initial_weights"] == digests[0] != digests[1]
    (tmp_path / "run" / CHECKPOINT_FILE).touch()
    shutil.rmtree(tmp_path / "package")
    assert initial_weights_digest(config, tmp_path / "run") == digests[0]


def test_a_run_folder_of_an_older_version_is_rejected_with_the_new_key(tmp_path: Path) -> None:
    config = make_config()
    (tmp_path / "config.yaml").write_text(config_to_yaml(config).replace("batch_size:", "batch:"))

    with pytest.raises(InputError, match=r"config\.yaml: batch was renamed to batch_size") as raised:
        open_run_folder(tmp_path, config, make_record(config, (), (), 1, None))

    assert "older version" in str(raised.value.hint)


def test_losses_are_scaled_in_f16_even_if_the_run_started_in_f32(tmp_path: Path) -> None:
    before = train_weights(make_config("optimization.precision=f32"), tmp_path, last=1)
    config = make_config("optimization.precision=f16")
    run = start_run(config, tmp_path, Hooks())
    first = [weights.clone() for weights in run.state.network.parameters()]

    run_epochs(run, config)

    assert all(torch.equal(a, b) for a, b in zip(before, first, strict=True))
    assert run.state.scaler.get_scale() > 1
    assert not all(torch.equal(a, b) for a, b in zip(first, run.state.network.parameters(), strict=True))


def test_infinite_weights_end_the_run_and_are_not_saved(tmp_path: Path) -> None:
    config = make_config("optimization.optimizer=SGD", "optimization.learning_rate=1e38", "optimization.clip_norm=0")

    with pytest.raises(EngineError, match="infinite or NaN in epoch 1"):
        train_weights(config, tmp_path)

    assert not (tmp_path / CHECKPOINT_FILE).exists()


def test_out_of_memory_on_a_gpu_is_one_error(small: TrainingConfig) -> None:
    def run_out_of_memory() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    trainer = SimpleNamespace(state=SimpleNamespace(epoch=0), run=run_out_of_memory)

    with pytest.raises(
        DeviceMemoryError, match=r"(?m)training: out of memory: CUDA out of memory. Tried to allocate 2 GiB$"
    ):
        run_epochs(TrainingRun(trainer, None), small)


def test_a_gpu_that_does_not_exist_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    with (
        pytest.raises(EngineError, match="expected a GPU from cuda:0 to cuda:1, got cuda:2"),
        join_processes({"LOCAL_RANK": "2"}, "auto"),
    ):
        pass
