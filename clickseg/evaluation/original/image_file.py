"""Writes the image that the original pipeline reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np

from clickseg.core.arrays import FloatArray

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def in_itk_order(volume: hd.Volume) -> tuple[hd.Volume, bool]:
    """Returns a volume [K, J, I] whose slices are in the direction of their normal, and whether they were reversed."""
    # columns, rows and normal are right-handed: in the opposite order of axes, they are left-handed
    ordered = volume.ensure_handedness("LEFT_HANDED", flip_axis=0)
    return ordered, not np.allclose(ordered.affine, volume.affine)


def write_image(volume: hd.Volume, path: Path) -> None:
    """Writes a volume [K, J, I] as NIfTI-2, whose affine matrix has 64 bits, with exactly perpendicular axes.

    MONAI's ``Spacing`` begins at the first voxel only if the axes are perpendicular to 1e-8 voxels. The 32 bits of
    NIfTI-1 and the decimals of DICOM are less exact: MONAI then aligns the centres of oblique images and model grids.
    """
    import nibabel

    make_image: Callable[..., Any] = nibabel.Nifti2Image
    affine = _LPS_TO_RAS @ exact_affine(volume)[:, [2, 1, 0, 3]]
    nibabel.save(make_image(volume.array.transpose(2, 1, 0), affine), path)


def exact_affine(volume: hd.Volume) -> FloatArray:
    """Returns the affine matrix of a volume, in LPS mm, with the closest axes that are exactly perpendicular."""
    left, _, right = np.linalg.svd(volume.direction)
    affine: FloatArray = np.eye(4)
    affine[:3, :3] = (left @ right) * np.array(volume.spacing)
    affine[:3, 3] = volume.position
    return affine
