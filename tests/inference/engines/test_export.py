"""Weights files are replaced, never overwritten: with a process that has mapped them, and with a killed export."""

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


def write_linear_model(folder: Path, factor: float) -> Path:
    return phantoms.write_linear_model(folder, phantoms.metadata(), [[factor], [-factor]], [0, 0])


def measured_factor(folder: Path) -> float:
    """Returns the logit of the first voxel divided by its value."""
    engine = make_engine(load_package(folder), RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    return float(engine.infer(BATCH)[0, 0, 0, 0, 0] / BATCH[0, 0, 0, 0, 0])


def test_a_mapped_file_does_not_change(tmp_path: Path) -> None:
    model, other = write_linear_model(tmp_path / "model", 2), write_linear_model(tmp_path / "other", 3)
    with (model / "models" / "model.bin").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    before = bytes(mapped)

    files = save_openvino(ov.Core().read_model(other / "models" / "model.xml"), load_package(model), "model.xml")

    assert bytes(mapped) == before
    assert files == (model / "models" / "model.xml", model / "models" / "model.bin")
    assert measured_factor(model) == pytest.approx(3)


KILLED_EXPORT = """
import os, sys
from pathlib import Path
import openvino as ov
from clickseg.inference.engines.export import save_openvino
from clickseg.models.package import load_package

original, replaced, kill_at = Path.replace, [], int(sys.argv[3])
def replace(self, target):
    if len(replaced) == kill_at:
        os._exit(9)
    replaced.append(self)
    return original(self, target)
Path.replace = replace
save_openvino(ov.Core().read_model(sys.argv[1] + "/models/model.xml"), load_package(Path(sys.argv[2])), "model.xml")
"""


@pytest.mark.parametrize("replacements", range(4))
def test_a_killed_export_leaves_the_old_weights_the_new_ones_or_a_digest_error(
    tmp_path: Path, replacements: int
) -> None:
    model, other = write_linear_model(tmp_path / "model", 2), write_linear_model(tmp_path / "other", 3)
    result = runs.run_process(["python", "-c", KILLED_EXPORT, other, model, replacements])

    assert result.returncode == (9 if replacements < 3 else 0), result.stderr
    if replacements in (0, 3):
        assert measured_factor(model) == pytest.approx(3 if replacements else 2)
    else:
        with pytest.raises(ModelError, match=r"model\.(xml|bin): expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"):
            measured_factor(model)

    for part in (model / "models").glob(".clickseg-part-*"):
        os.utime(part, (0, 0))
    save_openvino(ov.Core().read_model(other / "models" / "model.xml"), load_package(model), "model.xml")
    assert {path.name for path in (model / "models").iterdir()} == {"model.xml", "model.bin"}
    assert measured_factor(model) == pytest.approx(3)


def test_a_package_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    model, other = write_linear_model(tmp_path / "model", 2), write_linear_model(tmp_path / "other", 3)
    shutil.rmtree(model / "models")
    (model / "models").touch()

    with pytest.raises(OutputError, match=r"model model: model\.xml cannot be written to"):
        save_openvino(ov.Core().read_model(other / "models" / "model.xml"), load_package(model), "model.xml")
