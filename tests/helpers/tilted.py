"""CT series with gantry tilt: an asymmetric object of known volume, sampled on tilted planes by formula."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom import Dataset

from tests.helpers import phantoms

INSIDE_HU, OUTSIDE_HU = 130.0, 40.0
ELLIPSOIDS = (((6.0, -4.0, 3.0), (14.0, 9.0, 16.0)), ((-18.0, 13.0, -15.0), (6.0, 6.0, 6.0)))
"""Centre and radii of two disjoint ellipsoids, in LPS mm."""

PIXEL_SPACING_MM = (0.9, 0.8)
_SHAPE = (72, 78)
_VOLUMES = [4 / 3 * np.pi * np.prod(radii) for _, radii in ELLIPSOIDS]
VOLUME_ML = sum(_VOLUMES) / 1000
CENTROID_MM = np.average([centre for centre, _ in ELLIPSOIDS], axis=0, weights=_VOLUMES)


def is_inside(points_mm: np.ndarray) -> np.ndarray:
    """Returns whether points in LPS mm [..., 3] are inside the object."""
    return np.any([(((points_mm - c) / r) ** 2).sum(axis=-1) <= 1 for c, r in ELLIPSOIDS], axis=0)


def tilted_orientation(tilt_degrees: float, *, sideways: bool = False) -> np.ndarray:
    """Returns direction cosines of axial planes that are tilted about the x axis, or about the y axis."""
    cosine, sine = np.cos(np.radians(tilt_degrees)), np.sin(np.radians(tilt_degrees))
    return np.array([cosine, 0, sine, 0, 1, 0] if sideways else [1, 0, 0, 0, cosine, sine])


def make_tilted_series(
    steps_mm: Sequence[float], orientation: np.ndarray, pixel_spacing_mm: tuple[float, float] = PIXEL_SPACING_MM
) -> list[Dataset]:
    """Returns the instances of a series whose positions are on a line along the z axis, around the origin.

    Args:
        steps_mm: The distances between consecutive positions along the z axis.
        orientation: The direction cosines of a row and a column.
        pixel_spacing_mm: The distance between rows, then between columns.
    """
    z = np.concatenate([[0], np.cumsum(steps_mm)])
    row, column = orientation[:3], orientation[3:]
    rows, columns = _SHAPE
    along_row = (np.arange(columns) - (columns - 1) / 2)[:, np.newaxis] * pixel_spacing_mm[1] * row
    along_column = (np.arange(rows) - (rows - 1) / 2)[:, np.newaxis, np.newaxis] * pixel_spacing_mm[0] * column
    points = (z - z.mean())[:, np.newaxis, np.newaxis, np.newaxis] * [0, 0, 1] + along_row + along_column
    geometry = phantoms.oblique_geometry((len(z), *_SHAPE), pixel_spacing=pixel_spacing_mm)
    values = np.where(is_inside(points), INSIDE_HU, OUTSIDE_HU).astype(np.float32)
    datasets = phantoms.instances(geometry.with_array(values))
    for index, dataset in enumerate(datasets):
        dataset.ImageOrientationPatient = [f"{value:.10g}" for value in orientation]
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in points[index, 0, 0]]
        dataset.SliceThickness = f"{steps_mm[min(index, len(steps_mm) - 1)]:g}"
        dataset.pop("SpacingBetweenSlices", None)
    return datasets


def voxel_positions(geometry: hd.VolumeGeometry) -> np.ndarray:
    """Returns the LPS positions of all voxels [K, J, I, 3]."""
    indices = np.indices(geometry.spatial_shape).reshape(3, -1).T
    return geometry.map_indices_to_reference(indices).reshape(*geometry.spatial_shape, 3)
