"""Volumes as SimpleITK images: for resampling between grids that share no axes, and for NIfTI."""

from __future__ import annotations

from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.core.arrays import Doubles


def to_sitk(volume: hd.Volume) -> Any:
    """Returns a volume as a SimpleITK image in the same place.

    Args:
        volume: A volume [A, B, C] in LPS mm. ITK counts axes the other way: its x is C.
    """
    import SimpleITK  # a quarter of a second that most runs do without

    image = SimpleITK.GetImageFromArray(volume.array)
    image.SetOrigin(volume.position)
    image.SetSpacing(volume.spacing[::-1])
    image.SetDirection(volume.direction[:, ::-1].ravel().tolist())
    return image


def from_sitk(image: Any, dtype: type[np.generic] | None = None) -> hd.Volume:
    """Returns a SimpleITK image of three axes and one component as a volume [A, B, C] in the same place.

    Args:
        image: The image. Its x is C.
        dtype: What its values are turned into; None leaves them as they are.
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


def _orthonormal(direction: Doubles) -> Doubles:
    """Returns the closest perpendicular unit vectors: files hold fewer decimals than a volume is held to."""
    left, _, right = np.linalg.svd(direction)
    closest: Doubles = left @ right
    return closest
