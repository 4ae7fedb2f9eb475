"""A run in this process: what is drawn, and how it ends where it cannot go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.engines import SupervisedTrainer

from clickseg.core.errors import DeviceMemoryError, EngineError, InputError, ModelError
from clickseg.inference.engines.network import network_of
from clickseg.training.checkpoint import CHECKPOINT, State, initial_digest, open_folder, record_of, save
from clickseg.training.config import Training, read_config
from clickseg.training.network import make_network
from clickseg.training.package import write_bundle
from clickseg.training.processes import Processes, joined
from clickseg.training.train import go_on
from clickseg.training.trainer import Hooks, Run, make_run
from tests.helpers.training_cases import SMALL

ALONE = Processes(0, 1, torch.device("cpu"))


class Saving(Hooks):
    """Saves each epoch, and ends the run after one of them."""

    def __init__(self, folder: Path, last: int) -> None:
        self._folder, self._last = folder, last

    def after_epoch(self, engine: SupervisedTrainer, state: State) -> None:
        save(state, engine, self._folder / CHECKPOINT)
        if engine.state.epoch == self._last:
            engine.terminate()


def configured(*changes: str) -> Training:
    return read_config(["pet_lesion"], [*SMALL, "clicking.most=1", *changes])


def begun(how: Training, folder: Path, hooks: Hooks) -> Run:
    return make_run(how, make_network(how, folder, ALONE), (), folder, ALONE, hooks)


def weights_after(how: Training, folder: Path, last: int = 100) -> list[torch.Tensor]:
    run = begun(how, folder, Saving(folder, last))
    go_on(run, how)
    return list(run.state.network.parameters())


def test_dropout_after_a_pause_is_that_of_a_whole_run(tmp_path: Path) -> None:
    how = configured("network.dropout=0.5")
    for name in ("whole", "paused"):
        (tmp_path / name).mkdir()
    whole = weights_after(how, tmp_path / "whole")

    weights_after(how, tmp_path / "paused", last=1)
    torch.manual_seed(99)
    paused = weights_after(how, tmp_path / "paused")

    assert all(torch.equal(a, b) for a, b in zip(whole, paused, strict=True))


@pytest.mark.parametrize("after", ["null", "0", "1"])
def test_statistics_of_batch_normalization_stay_after_an_epoch(tmp_path: Path, after: str) -> None:
    how = configured("network.norm_name=batch", f"optimization.fix_statistics_after={after}")
    run = begun(how, tmp_path, Saving(tmp_path, 1))
    fresh = statistics(run)
    go_on(run, how)
    first = statistics(run)

    run = begun(how, tmp_path, Saving(tmp_path, 2))
    go_on(run, how)

    assert torch.equal(fresh, first) == (after == "0")
    assert torch.equal(first, statistics(run)) == (after != "null")


def statistics(run: Run) -> torch.Tensor:
    return torch.cat([each.flatten() for name, each in run.state.network.named_buffers() if "running" in name])


def test_a_network_begins_with_the_weights_of_one_of_another_normalization(tmp_path: Path) -> None:
    how = configured("network.norm_name=instance")
    given = network_of(how.network, "network")
    write_bundle(how, given, {}, tmp_path / "package")

    run = begun(configured("network.norm_name=batch", f"initial={tmp_path}/package"), tmp_path, Hooks())

    weights = run.state.network.state_dict()
    for name, expected in given.state_dict().items():
        assert torch.equal(weights[name], expected.half().float()), name


@pytest.mark.parametrize(
    ("change", "message"), [("filters=[4,8,16]", "do not fit"), ("res_block=true", "another network")]
)
def test_the_weights_of_another_network_are_refused(tmp_path: Path, change: str, message: str) -> None:
    write_bundle(configured(), network_of(configured().network, "network"), {}, tmp_path / "package")

    with pytest.raises(ModelError, match=message):
        begun(configured(f"network.{change}", f"initial={tmp_path}/package"), tmp_path, Hooks())


def test_a_run_goes_on_without_the_weights_that_it_began_with(tmp_path: Path) -> None:
    write_bundle(configured(), network_of(configured().network, "network"), {}, tmp_path / "package")
    how = configured(f"initial={tmp_path}/package")
    for name in ("whole", "run"):
        (tmp_path / name).mkdir()
    whole = weights_after(how, tmp_path / "whole")
    weights_after(how, tmp_path / "run", last=1)
    shutil.rmtree(tmp_path / "package")

    gone_on = weights_after(how, tmp_path / "run")

    assert all(torch.equal(a, b) for a, b in zip(whole, gone_on, strict=True))


def test_the_weights_that_a_run_begins_with_are_part_of_it(tmp_path: Path) -> None:
    how, digests = configured(f"initial={tmp_path}/package"), list[str | None]()
    for _ in range(2):
        write_bundle(how, network_of(how.network, "network"), {}, tmp_path / "package")
        digests.append(initial_digest(how, tmp_path / "run"))
    record_one, record_other = (record_of(how, (), (), 1, digest) for digest in digests)
    open_folder(tmp_path / "run", how, record_one)

    with pytest.raises(InputError, match=r"a run with another .*beginning"):
        open_folder(tmp_path / "run", how, record_other)

    assert record_one["initial"] == digests[0] != digests[1]
    (tmp_path / "run" / CHECKPOINT).touch()
    shutil.rmtree(tmp_path / "package")
    assert initial_digest(how, tmp_path / "run") == digests[0]


def test_losses_of_16_bits_are_scaled_also_where_a_run_began_without(tmp_path: Path) -> None:
    before = weights_after(configured("optimization.precision=f32"), tmp_path, last=1)
    how = configured("optimization.precision=f16")
    run = begun(how, tmp_path, Hooks())
    first = [each.clone() for each in run.state.network.parameters()]

    go_on(run, how)

    assert all(torch.equal(a, b) for a, b in zip(before, first, strict=True))
    assert run.state.scaler.get_scale() > 1
    assert not all(torch.equal(a, b) for a, b in zip(first, run.state.network.parameters(), strict=True))


def test_infinite_weights_end_a_run_and_are_not_saved(tmp_path: Path) -> None:
    how = configured("optimization.optimizer=SGD", "optimization.learning_rate=1e38", "optimization.clip_norm=0")

    with pytest.raises(EngineError, match="infinite or no numbers in epoch 1"):
        weights_after(how, tmp_path)

    assert not (tmp_path / CHECKPOINT).exists()


def test_a_full_gpu_is_one_error(small: Training) -> None:
    def full() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    trainer = SimpleNamespace(state=SimpleNamespace(epoch=0), run=full)

    with pytest.raises(
        DeviceMemoryError, match=r"(?m)training: out of memory: CUDA out of memory. Tried to allocate 2 GiB$"
    ):
        go_on(Run(trainer, None), small)


def test_a_gpu_is_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    with (
        pytest.raises(EngineError, match="expected a GPU from cuda:0 to cuda:1, got cuda:2"),
        joined({"LOCAL_RANK": "2"}, "auto"),
    ):
        pass
