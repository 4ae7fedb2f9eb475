"""Cases so small that all can be worked out by hand, and a model that finds what is above 0 but for its clicks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np

from clickseg.datasets.case import LabelledCase, LabelledImage
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from tests.helpers import phantoms

FOREGROUND_VALUE, NOT_FOUND = 5.0, -7.0
"""Values that the model finds, and does not."""

RANGE = {"kind": "range", "a_min": -10, "a_max": 10, "b_min": -1, "b_max": 1}
INPUTS = [{"name": "image", "modality": "CT", "unit": "HU", "scaling": RANGE}]
GRID = {"spacing_mm": [1, 1, 1], "orientation": "RAS"}


def mask(shape: Sequence[int], *parts: tuple[object, ...]) -> np.ndarray:
    """A mask of boxes and voxels."""
    made = np.zeros(shape, bool)
    for part in parts:
        made[part] = True
    return made


def case(
    truth: np.ndarray,
    found: np.ndarray,
    *,
    modality: str = "CT",
    spacing: Sequence[float] = (1, 1, 1),
    name: str = "toy",
) -> LabelledCase:
    """A case in which the model finds something at first."""
    affine = np.diag([*spacing, 1.0])
    unit = {"CT": "HU", "PT": "SUVbw", "MR": ""}[modality]
    values = np.where(found, FOREGROUND_VALUE, NOT_FOUND).astype(np.float32)
    image = LabelledImage(modality, unit, hd.Volume(values, affine, "PATIENT"))
    return LabelledCase(name, (image,), hd.Volume(truth.astype(np.uint8), affine, "PATIENT"))


def write_model(
    folder: Path,
    *,
    radius_vox: float = 0,
    modality: str = "CT",
    spacing: Sequence[float] = (1, 1, 1),
    **changes: object,
) -> Path:
    """A package that finds what is above 0, but for the balls of clicks, which it obeys."""
    unit = {"CT": "HU", "PT": "SUVbw", "MR": ""}[modality]
    section = phantoms.metadata(
        **{
            "inputs": [{"name": "image", "modality": modality, "unit": unit, "scaling": RANGE}],
            "grid": {"spacing_mm": list(spacing), "orientation": "RAS"},
            "guidance": {**phantoms.GUIDANCE, "radius_vox": radius_vox},
        }
        | changes
    )
    return phantoms.linear_model(folder, section, weights=[[0, 0, 0], [1, 100, -100]], bias=[0, 0])


def model(folder: Path, **options: object) -> tuple[ModelPackage, Engine]:
    """The package, and its network."""
    return loaded(write_model(folder, **options))


def loaded(folder: Path) -> tuple[ModelPackage, Engine]:
    """A package, and its network."""
    package = load_package(folder)
    return package, make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
