"""Cases that are small enough to compute by hand, and a model: foreground is above 0, except in the balls of clicks."""

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

FOREGROUND_VALUE, BACKGROUND_VALUE = 5.0, -7.0
"""Values that the model segments as foreground, and as background."""

RANGE = {"kind": "range", "a_min": -10, "a_max": 10, "b_min": -1, "b_max": 1}
INPUTS = [{"name": "image", "modality": "CT", "unit": "HU", "scaling": RANGE}]
GRID = {"spacing_mm": [1, 1, 1], "orientation": "RAS"}


def make_mask(shape: Sequence[int], *parts: tuple[object, ...]) -> np.ndarray:
    """Makes a mask from boxes and voxels."""
    array = np.zeros(shape, bool)
    for part in parts:
        array[part] = True
    return array


def make_case(
    truth: np.ndarray,
    foreground: np.ndarray,
    *,
    modality: str = "CT",
    spacing: Sequence[float] = (1, 1, 1),
    name: str = "toy",
) -> LabelledCase:
    """Makes a case.

    Args:
        truth: The ground truth.
        foreground: The foreground that the model segments without clicks.
        modality: The modality, which defines the unit.
        spacing: The voxel spacing in mm.
        name: The name of the case.
    """
    affine = np.diag([*spacing, 1.0])
    unit = {"CT": "HU", "PT": "SUVbw", "MR": ""}[modality]
    values = np.where(foreground, FOREGROUND_VALUE, BACKGROUND_VALUE).astype(np.float32)
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
    """Writes a package with a model that segments voxels above 0, and follows clicks in their balls."""
    unit = {"CT": "HU", "PT": "SUVbw", "MR": ""}[modality]
    section = phantoms.metadata(
        **{
            "inputs": [{"name": "image", "modality": modality, "unit": unit, "scaling": RANGE}],
            "grid": {"spacing_mm": list(spacing), "orientation": "RAS"},
            "guidance": {**phantoms.GUIDANCE, "radius_vox": radius_vox},
        }
        | changes
    )
    return phantoms.write_linear_model(folder, section, weights=[[0, 0, 0], [1, 100, -100]], bias=[0, 0])


def make_model(folder: Path, **options: object) -> tuple[ModelPackage, Engine]:
    """Writes and loads a package, and its network."""
    return load_model(write_model(folder, **options))


def load_model(folder: Path) -> tuple[ModelPackage, Engine]:
    """Loads a package, and its network."""
    package = load_package(folder)
    return package, make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
