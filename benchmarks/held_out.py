"""The cases of a cross-validation, each with the model whose training held it out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clickseg.datasets.case import LabelledCase
from clickseg.datasets.find import find_model_cases
from clickseg.datasets.read import read_case
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.training.checkpoint import RECORD_FILE


@dataclass(frozen=True, slots=True)
class HeldOutCase:
    """A case, and a model that was not trained on it.

    Attributes:
        case: The case.
        package: The model.
        engine: The loaded network of the model.
    """

    case: LabelledCase
    package: ModelPackage
    engine: Engine


def held_out_cases(data: Path, runs: Path) -> Iterator[HeldOutCase]:
    """Yields all cases of a cross-validation.

    Args:
        data: The dataset.
        runs: A folder that contains one run of ``clickseg train --fold N`` for each fold.
    """
    for folder in sorted(runs.iterdir()):
        package, names = trained_package(folder), json.loads((folder / RECORD_FILE).read_text())["held_out"]
        engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO))
        for files in find_model_cases(data, package.spec):
            if files.name in names:
                yield HeldOutCase(read_case(files), package, engine)


def trained_package(run: Path) -> ModelPackage:
    """Loads the model that a training run wrote."""
    (path,) = (path for path in run.iterdir() if (path / "configs").is_dir())
    return load_package(path)
