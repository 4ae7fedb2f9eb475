"""Datasets for tests, of images that nibabel writes."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np

from tests.helpers import phantoms

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nifti(path: Path, volume: hd.Volume) -> Path:
    """Writes a volume by nibabel, which counts axes as they come and places them in RAS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume.array, LPS_TO_RAS @ volume.affine), path)
    return path


def empty(path: Path) -> Path:
    """Makes a file of which only the name counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def labels(geometry: hd.VolumeGeometry | None = None) -> hd.Volume:
    """A label map of two classes that has no symmetry."""
    hook = phantoms.hook(geometry or phantoms.oblique_geometry())
    array = hook.array.astype(np.uint8)
    array[-2:, -3:, -4:] = 2
    return hook.with_array(array)


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path
