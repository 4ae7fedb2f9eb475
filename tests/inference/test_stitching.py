"""Where logits are blended follows from the memory that is left, and never shows in the result."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Clicks
from clickseg.core.errors import MemoryLimitError, OutputError
from clickseg.core.memory import Memory
from clickseg.core.progress import no_progress
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.kernels import KernelChoice, PlainKernels
from clickseg.inference.pipeline import infer
from clickseg.inference.preprocess import make_case, prepare
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.stitching import Slab, Spool, Stitching
from clickseg.inference.stitching_choice import StitchChoice
from clickseg.inference.windows import WindowGrid, importance_map
from clickseg.models.package import load_package
from clickseg.models.spec import WindowSpec
from tests.helpers import phantoms, runs

SPEC = WindowSpec(roi=(8, 8, 8))
GRID = WindowGrid.over((20, 16, 12), SPEC)
CHANNELS = 30
SLAB = Slab.bytes_needed(GRID, CHANNELS)
PLANE = Spool.bytes_needed(GRID, CHANNELS, 1)


def chosen(folder: Path, left: int, monkeypatch: pytest.MonkeyPatch, reserved: int = 0) -> Stitching:
    monkeypatch.setattr(Memory, "left", lambda _: left)
    choose = StitchChoice(Memory(1 << 30, folder), reserved)
    made = choose(GRID, importance_map(SPEC), CHANNELS, PlainKernels())
    assert choose.place == ("disk" if isinstance(made, Spool) else "memory")
    return made


def test_a_slab_is_taken_where_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(chosen(tmp_path, SLAB, monkeypatch), Slab)
    assert isinstance(chosen(tmp_path, SLAB - 1, monkeypatch), Spool)
    assert isinstance(chosen(tmp_path, SLAB, monkeypatch, reserved=1), Spool)


def test_as_many_planes_are_added_up_at_a_time_as_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for planes in (1, 2, 5):
        made = chosen(tmp_path, Spool.bytes_needed(GRID, CHANNELS, planes), monkeypatch)

        assert made._total.shape[1] == planes


def test_less_than_a_plane_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        MemoryLimitError, match=r"expected at least 1074 MB for 30 channels of 20 x 16 x 12 voxels, got"
    ):
        chosen(tmp_path, PLANE - 1, monkeypatch)


class Untouchable:
    """An engine that must not be run."""

    device, batch = "cpu", 1

    def infer(self, _: object) -> None:
        raise AssertionError("a window was run")

    def smaller(self) -> None:
        return None


def test_what_cannot_fit_is_refused_before_any_window_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = load_package(runs.write_model(tmp_path / "models") / "thresholder")
    series = phantoms.read(phantoms.write(tmp_path / "ct", phantoms.hook(runs.GEOMETRY, 500.0, -700.0)))
    prepared = prepare(make_case([series], Clicks(), package))
    monkeypatch.setattr(Memory, "left", lambda _: 10_000)

    with pytest.raises(MemoryLimitError, match="memory: expected at least"):
        infer(prepared, Untouchable(), no_progress, KernelChoice(), Memory(1 << 30, tmp_path))


def test_a_spool_takes_the_memory_that_it_is_counted_with(tmp_path: Path) -> None:
    for planes in (1, 4):
        made = Spool(GRID, importance_map(SPEC), CHANNELS, PlainKernels(), folder=tmp_path, planes=planes)
        arrays = made._total.nbytes + made._weights.nbytes + made._blocks._buffer.nbytes

        window = CHANNELS * planes * 8 * 8 * 4
        assert arrays + window == Spool.bytes_needed(GRID, CHANNELS, planes)


def test_a_slab_takes_the_memory_that_it_is_counted_with() -> None:
    made = Slab(GRID, importance_map(SPEC), CHANNELS, PlainKernels())

    assert made._total.nbytes + made._weights.nbytes + made._blocks._buffer.nbytes == SLAB


def test_the_disk_takes_only_windows_that_are_not_finished_and_keeps_no_name(tmp_path: Path) -> None:
    spool = Spool(GRID, importance_map(SPEC), CHANNELS, PlainKernels(), folder=tmp_path, planes=4)
    size = 0

    for layer in GRID.layers():
        for window in layer.windows:
            spool.add(window, np.ones((CHANNELS, 8, 8, 8), np.float32))
        for _ in spool.finish_planes(layer.stop):
            size = spool._scratch.size

    layers = [len(layer.windows) for layer in GRID.layers()]
    assert size == 2 * layers[0] * CHANNELS * 8**3 * 4 < len(GRID) * CHANNELS * 8**3 * 4
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_large_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # Python ignores the signal that comes with it
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_large_files")
def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    spool = Spool(GRID, importance_map(SPEC), CHANNELS, PlainKernels(), folder=tmp_path, planes=4)

    with pytest.raises(OutputError, match="logits that do not fit into memory cannot be kept there: File too large"):
        spool.add(next(iter(GRID)), np.ones((CHANNELS, 8, 8, 8), np.float32))


def test_what_the_disk_does_not_give_back_is_one_clear_error(tmp_path: Path) -> None:
    spool = Spool(GRID, importance_map(SPEC), CHANNELS, PlainKernels(), folder=tmp_path, planes=4)
    spool.add(next(iter(GRID)), np.ones((CHANNELS, 8, 8, 8), np.float32))
    os.truncate(spool._scratch._file.fileno(), 1000)

    with pytest.raises(OutputError, match="cannot be kept there: the file has been cut"):
        next(spool.finish_planes(8))


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be kept there: No such file"):
        Spool(GRID, importance_map(SPEC), 1, PlainKernels(), folder=tmp_path / "none", planes=1)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_run_with_little_memory_gives_the_same_bytes_and_says_so(
    tmp_path: Path, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = phantoms.read(runs.write_input(tmp_path / "in") / "CT")
    package = load_package(runs.write_model(tmp_path / "models", activation=activation) / "thresholder")
    prepared = prepare(make_case([series], Clicks((runs.click(9, 11, 13),)), package))
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    found = []
    for slab_bytes in (0, 1 << 50):
        monkeypatch.setattr(Slab, "bytes_of", lambda *_, size=slab_bytes: size)
        found.append(infer(prepared, engine, no_progress, KernelChoice(), Memory(1 << 40, tmp_path)))

    inside, spooled = found
    assert (inside.windows.logits, spooled.windows.logits) == ("memory", "disk")
    assert inside.labels.array.any()
    assert inside.labels.array.tobytes() == spooled.labels.array.tobytes()
