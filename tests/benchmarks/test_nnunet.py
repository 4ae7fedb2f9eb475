"""The benchmark of nnU-Net needs nnU-Net, and its models are those that nnU-Net writes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")  # not installed for every Python that runs the tests

from benchmarks.nnunet_images import smooth_series, write_case
from benchmarks.nnunet_models import COMPARED, TrainedModel, write_trained_model
from benchmarks.nnunet_process import PYTHON, nnunet_python
from clickseg.core.errors import LibraryError
from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.nnunet.reader import NnUNetReader
from clickseg.models.importers.source_model import ImportOptions
from tests.helpers.runs import REPOSITORY

RESULTS = json.loads((REPOSITORY / "benchmarks/results/nnunet.json").read_text())
SECTION = (REPOSITORY / "benchmarks/README.md").read_text().partition("## `nnunet`")[2].partition("\n## ")[0]


def test_an_environment_without_nnunet_is_an_error() -> None:
    if _has_nnunet():
        pytest.skip("nnU-Net is installed")

    with pytest.raises(LibraryError, match="nnU-Net is not installed"):
        nnunet_python({PYTHON: sys.executable})
    with pytest.raises(LibraryError, match="nnU-Net is not installed") as caught:
        nnunet_python({})

    assert PYTHON in str(caught.value.hint)


def test_a_python_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=f"{PYTHON}.*No such file"):
        nnunet_python({PYTHON: str(tmp_path / "python")})


@pytest.mark.parametrize("model", COMPARED, ids=lambda model: model.name)
def test_a_model_of_the_benchmark_has_all_that_its_name_states(tmp_path: Path, model: TrainedModel) -> None:
    folder = write_trained_model(tmp_path / "m", replace(model, fit_steps=0))

    read = NnUNetReader(build_from_definition).read(folder, ImportOptions())

    assert len(read.section["inputs"]) == len(model.channels)
    assert read.section.get("mirror_axes") == (list(model.mirror_axes) if model.mirror_axes else None)
    assert len(list(folder.glob("fold_*/checkpoint_final.pth"))) == model.folds
    configuration = json.loads((folder / "plans.json").read_text())["configurations"]["3d_fullres"]
    assert ("UNet_class_name" in configuration, "architecture" in configuration) == (
        model.has_old_plans,
        not model.has_old_plans,
    )


def test_the_images_of_a_case_have_different_foregrounds(tmp_path: Path) -> None:
    series = smooth_series(tmp_path / "series", ("T1", "FLAIR"))

    case = write_case(tmp_path / "case", series)

    first, second = (each.volume.array != 0 for each in series)
    assert np.any(first & ~second)
    assert sorted(path.name for path in case.iterdir()) == ["case_0000.mha", "case_0001.mha"]


@pytest.mark.parametrize("row", RESULTS["rows"], ids=lambda row: f"{row['model']}: {row['measured']}")
def test_the_page_quotes_the_results(row: dict[str, str | float]) -> None:
    columns = ("nnU-Net", "ClickSeg", "ratio", "ratio of CPU time", "equal voxels %", "Dice of the worst class")
    numbers = {f"{row[column]:g}" for column in columns if row[column] != "-"}

    lines = [line for line in SECTION.splitlines() if str(row["model"]) in line]

    assert any(numbers <= {cell.strip() for cell in line.split("|")} for line in lines), numbers


def test_labels_in_f32_agree_as_stated() -> None:
    stated = (REPOSITORY / "docs/own-model.md").read_text()

    equal = [row["equal voxels %"] for row in RESULTS["rows"] if "f32" in row["measured"]]

    assert len(equal) == len(COMPARED) + 2
    assert min(equal) >= 99.95
    assert "of nnU-Net 99.95 %" in stated


def _has_nnunet() -> bool:
    try:
        nnunet_python({PYTHON: sys.executable})
    except LibraryError:
        return False
    return True
