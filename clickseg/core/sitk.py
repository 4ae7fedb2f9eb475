"""Conversion between volumes and SimpleITK images, for resampling between arbitrary grids and for NIfTI."""

from __future__ import annotations

from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.core.arrays import FloatArray


def to_sitk(volume: hd.Volume) -> Any:
    """Returns a volume as a SimpleITK image at the same position in the patient.

    Args:
        volume: A volume [A, B, C] in LPS mm. ITK has the opposite order of axes: its x is C.
    """
    import SimpleITK  # takes a quarter of a second, and most runs do not need it

    image = SimpleITK.GetImageFromArray(volume.array)
    image.SetOrigin(volume.position)
    image.SetSpacing(volume.spacing[::-1])
    image.SetDirection(volume.direction[:, ::-1].ravel().tolist())
    return image


def from_sitk(image: Any, dtype: type[np.generic] | None = None) -> hd.Volume:
    """Returns a SimpleITK image of three axes and one component as a volume [A, B, C] at the same position.

    Args:
        image: The image. Its x is C.
        dtype: The type that values are converted to; None for no conversion.
    """
    import SimpleITK

    array: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, ::-1]
    return hd.Volume.from_components(
        array if dtype is None else array.astype(dtype, copy=False),
        spacing=image.GetSpacing()[::-1],
        position=image.GetOrigin(),
        direction=_orthonormal(direction).tolist(),
        coordinate_system="PATIENT",
    )


def _orthonormal(direction: FloatArray) -> FloatArray:
    """Returns the closest orthonormal matrix: directions in files have fewer decimals than a volume requires."""
    left, _, right = np.linalg.svd(direction)
    closest: FloatArray = left @ right
    return closest
