"""What the runs of a cross-validation held out: each case with the model that has not seen it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clickseg.datasets.case import LabelledCase
from clickseg.datasets.find import find_cases_for
from clickseg.datasets.read import read_case
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.training.checkpoint import RECORD


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A case that a model has not seen.

    Attributes:
        case: The case.
        package: The model.
        engine: Its network, loaded.
    """

    case: LabelledCase
    package: ModelPackage
    engine: Engine


def held_out(data: Path, runs: Path) -> Iterator[HeldOut]:
    """Returns all cases, one after another.

    Args:
        data: The dataset.
        runs: A folder of the folders of runs of ``clickseg train --fold N``, one for each fold.
    """
    for folder in sorted(runs.iterdir()):
        package, names = package_in(folder), json.loads((folder / RECORD).read_text())["held_out"]
        engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO))
        for files in find_cases_for(data, package.spec):
            if files.name in names:
                yield HeldOut(read_case(files), package, engine)


def package_in(run: Path) -> ModelPackage:
    """Returns the model that a run ended in."""
    (path,) = (path for path in run.iterdir() if (path / "configs").is_dir())
    return load_package(path)
