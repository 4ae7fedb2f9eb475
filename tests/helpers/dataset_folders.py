"""Datasets of image files for tests, written by nibabel."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np

from tests.helpers import phantoms

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(path: Path, volume: hd.Volume) -> Path:
    """Writes a volume with nibabel, which keeps the order of the axes and uses RAS coordinates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume.array, LPS_TO_RAS @ volume.affine), path)
    return path


def create_empty_file(path: Path) -> Path:
    """Creates a file of which only the name is used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def make_label_map(geometry: hd.VolumeGeometry | None = None) -> hd.Volume:
    """Returns a label map of two classes without symmetry."""
    hook = phantoms.hook_volume(geometry or phantoms.oblique_geometry())
    array = hook.array.astype(np.uint8)
    array[-2:, -3:, -4:] = 2
    return hook.with_array(array)


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path
