"""Weights are replaced, never written to: by a process that maps them, and by one that is killed half-way."""

from __future__ import annotations

import mmap
import os
import shutil
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from clickseg.core.errors import ModelError, OutputError
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.export import save_openvino
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import load_package
from tests.helpers import phantoms, runs

BATCH = np.random.default_rng(0).normal(size=(1, 1, 8, 8, 8)).astype(np.float32)


def linear(folder: Path, factor: float) -> Path:
    return phantoms.linear_model(folder, phantoms.metadata(), [[factor], [-factor]], [0, 0])


def said(folder: Path) -> float:
    """What the model says of the first voxel, as a factor of its value."""
    engine = make_engine(load_package(folder), RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    return float(engine.infer(BATCH)[0, 0, 0, 0, 0] / BATCH[0, 0, 0, 0, 0])


def test_what_a_process_has_mapped_stays_as_it_is(tmp_path: Path) -> None:
    model, other = linear(tmp_path / "model", 2), linear(tmp_path / "other", 3)
    with (model / "models" / "model.bin").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    before = bytes(mapped)

    files = save_openvino(ov.Core().read_model(other / "models" / "model.xml"), load_package(model), "model.xml")

    assert bytes(mapped) == before
    assert files == (model / "models" / "model.xml", model / "models" / "model.bin")
    assert said(model) == pytest.approx(3)


KILLED = """
import os, sys
from pathlib import Path
import openvino as ov
from clickseg.inference.engines.export import save_openvino
from clickseg.models.package import load_package

moves, left, killed_at = Path.replace, [], int(sys.argv[3])
def replace(self, target):
    if len(left) == killed_at:
        os._exit(9)
    left.append(self)
    return moves(self, target)
Path.replace = replace
save_openvino(ov.Core().read_model(sys.argv[1] + "/models/model.xml"), load_package(Path(sys.argv[2])), "model.xml")
"""


@pytest.mark.parametrize("moves", range(4))
def test_an_export_that_is_killed_leaves_the_old_weights_the_new_or_says_that_they_do_not_match(
    tmp_path: Path, moves: int
) -> None:
    model, other = linear(tmp_path / "model", 2), linear(tmp_path / "other", 3)
    ended = runs.process(["python", "-c", KILLED, other, model, moves])

    assert ended.returncode == (9 if moves < 3 else 0), ended.stderr
    if moves in (0, 3):
        assert said(model) == pytest.approx(3 if moves else 2)
    else:
        with pytest.raises(ModelError, match=r"model\.(xml|bin): expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"):
            said(model)

    for part in (model / "models").glob(".clickseg-part-*"):
        os.utime(part, (0, 0))
    save_openvino(ov.Core().read_model(other / "models" / "model.xml"), load_package(model), "model.xml")
    assert {path.name for path in (model / "models").iterdir()} == {"model.xml", "model.bin"}
    assert said(model) == pytest.approx(3)


def test_a_package_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    model, other = linear(tmp_path / "model", 2), linear(tmp_path / "other", 3)
    shutil.rmtree(model / "models")
    (model / "models").touch()

    with pytest.raises(OutputError, match=r"model model: model\.xml cannot be written to"):
        save_openvino(ov.Core().read_model(other / "models" / "model.xml"), load_package(model), "model.xml")
