"""Volumes as SimpleITK images: for resampling between grids that share no axes, and for NIfTI."""

from __future__ import annotations

from typing import Any

import highdicom as hd


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
