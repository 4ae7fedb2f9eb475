"""The free memory decides where logits are blended; the result does not depend on it."""

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
from clickseg.inference.kernels import KernelChoice, NumpyKernels
from clickseg.inference.pipeline import infer
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.stitching import DiskStitching, SlabStitching, Stitching
from clickseg.inference.stitching_choice import StitchingChoice
from clickseg.inference.windows import WindowGrid, importance_map
from clickseg.models.package import load_package
from clickseg.models.spec import WindowSpec
from tests.helpers import phantoms, runs

SPEC = WindowSpec(roi=(8, 8, 8))
GRID = WindowGrid.cover((20, 16, 12), SPEC)
CHANNELS = 30
SLAB_BYTES = SlabStitching.bytes_needed(GRID, CHANNELS)
PLANE_BYTES = DiskStitching.bytes_needed(GRID, CHANNELS, 1)


def choose_stitching(folder: Path, free_bytes: int, monkeypatch: pytest.MonkeyPatch, reserved: int = 0) -> Stitching:
    monkeypatch.setattr(Memory, "free_bytes", lambda _: free_bytes)
    choice = StitchingChoice(Memory(1 << 30, folder), reserved)
    stitching = choice(GRID, importance_map(SPEC), CHANNELS, NumpyKernels())
    assert choice.storage == ("disk" if isinstance(stitching, DiskStitching) else "memory")
    return stitching


def test_a_slab_is_used_if_it_fits_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_stitching(tmp_path, SLAB_BYTES, monkeypatch), SlabStitching)
    assert isinstance(choose_stitching(tmp_path, SLAB_BYTES - 1, monkeypatch), DiskStitching)
    assert isinstance(choose_stitching(tmp_path, SLAB_BYTES, monkeypatch, reserved=1), DiskStitching)


def test_disk_stitching_sums_as_many_planes_at_a_time_as_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for planes in (1, 2, 5):
        stitching = choose_stitching(tmp_path, DiskStitching.bytes_needed(GRID, CHANNELS, planes), monkeypatch)

        assert stitching._sums.shape[1] == planes


def test_memory_for_less_than_one_plane_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        MemoryLimitError, match=r"expected at least 1074 MB for 30 channels of 20 x 16 x 12 voxels, got"
    ):
        choose_stitching(tmp_path, PLANE_BYTES - 1, monkeypatch)


class ForbiddenEngine:
    """An engine that must not be run."""

    device, batch = "cpu", 1

    def infer(self, _: object) -> None:
        raise AssertionError("a window was run")

    def with_half_batch(self) -> None:
        return None


def test_a_volume_that_cannot_fit_is_rejected_before_any_window_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = load_package(runs.write_model(tmp_path / "models") / "thresholder")
    series = phantoms.read(phantoms.write(tmp_path / "ct", phantoms.hook_volume(runs.GEOMETRY, 500.0, -700.0)))
    preprocessed = preprocess(make_case([series], Clicks(), package))
    monkeypatch.setattr(Memory, "free_bytes", lambda _: 10_000)

    with pytest.raises(MemoryLimitError, match="memory: expected at least"):
        infer(preprocessed, ForbiddenEngine(), no_progress, KernelChoice(), Memory(1 << 30, tmp_path))


def test_disk_stitching_needs_the_predicted_memory(tmp_path: Path) -> None:
    for planes in (1, 4):
        stitching = DiskStitching(GRID, importance_map(SPEC), CHANNELS, NumpyKernels(), folder=tmp_path, planes=planes)
        arrays = stitching._sums.nbytes + stitching._weight_sums.nbytes + stitching._blocks._buffer.nbytes

        window = CHANNELS * planes * 8 * 8 * 4
        assert arrays + window == DiskStitching.bytes_needed(GRID, CHANNELS, planes)


def test_a_slab_needs_the_predicted_memory() -> None:
    stitching = SlabStitching(GRID, importance_map(SPEC), CHANNELS, NumpyKernels())

    assert stitching._sums.nbytes + stitching._weight_sums.nbytes + stitching._blocks._buffer.nbytes == SLAB_BYTES


def test_the_file_contains_only_unfinished_windows_and_has_no_name(tmp_path: Path) -> None:
    stitching = DiskStitching(GRID, importance_map(SPEC), CHANNELS, NumpyKernels(), folder=tmp_path, planes=4)
    size = 0

    for layer in GRID.layers():
        for window in layer.windows:
            stitching.add(window, np.ones((CHANNELS, 8, 8, 8), np.float32))
        for _ in stitching.finish_planes(layer.stop):
            size = stitching._scratch.size_bytes

    layers = [len(layer.windows) for layer in GRID.layers()]
    assert size == 2 * layers[0] * CHANNELS * 8**3 * 4 < len(GRID) * CHANNELS * 8**3 * 4
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_large_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # Python ignores the signal SIGXFSZ
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_large_files")
def test_a_full_disk_raises_a_clear_error(tmp_path: Path) -> None:
    stitching = DiskStitching(GRID, importance_map(SPEC), CHANNELS, NumpyKernels(), folder=tmp_path, planes=4)

    with pytest.raises(
        OutputError, match="logits that do not fit into memory cannot be stored in this folder: File too large"
    ):
        stitching.add(next(iter(GRID)), np.ones((CHANNELS, 8, 8, 8), np.float32))


def test_a_truncated_file_raises_a_clear_error(tmp_path: Path) -> None:
    stitching = DiskStitching(GRID, importance_map(SPEC), CHANNELS, NumpyKernels(), folder=tmp_path, planes=4)
    stitching.add(next(iter(GRID)), np.ones((CHANNELS, 8, 8, 8), np.float32))
    os.truncate(stitching._scratch._file.fileno(), 1000)

    with pytest.raises(OutputError, match="cannot be stored in this folder: the file was truncated"):
        next(stitching.finish_planes(8))


def test_a_missing_folder_raises_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be stored in this folder: No such file"):
        DiskStitching(GRID, importance_map(SPEC), 1, NumpyKernels(), folder=tmp_path / "none", planes=1)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_run_with_little_memory_gives_the_same_bytes_and_reports_the_disk(
    tmp_path: Path, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = phantoms.read(runs.write_input(tmp_path / "in") / "CT")
    package = load_package(runs.write_model(tmp_path / "models", activation=activation) / "thresholder")
    preprocessed = preprocess(make_case([series], Clicks((runs.click(9, 11, 13),)), package))
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    predictions = []
    for slab_bytes in (0, 1 << 50):
        monkeypatch.setattr(SlabStitching, "bytes_needed", lambda *_, size=slab_bytes: size)
        predictions.append(infer(preprocessed, engine, no_progress, KernelChoice(), Memory(1 << 40, tmp_path)))

    in_memory, on_disk = predictions
    assert (in_memory.windows.logits_storage, on_disk.windows.logits_storage) == ("memory", "disk")
    assert in_memory.labels.array.any()
    assert in_memory.labels.array.tobytes() == on_disk.labels.array.tobytes()
