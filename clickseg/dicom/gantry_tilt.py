"""Gantry tilt: shifts the planes of a tilted series onto an upright grid, and label maps back onto the planes.

If the gantry of a CT is tilted, the planes are parallel, but each plane is shifted within itself against the plane
before. ``highdicom.Volume`` cannot represent this shear, so the grid of the volume is upright, and the planes keep
their original positions.

Planes are shifted by whole pixels. Values are then not interpolated: each voxel of the grid has the value of one pixel,
and the SEG contains exactly the pixels that were segmented. A slice of the grid is at most half a pixel away from the
position of its plane (about 0.25 mm in a head CT). Along the normal, ``repeated_planes`` makes the grid uniform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clickseg.core.arrays import Float32Array, FloatArray, IndexArray, LabelArray
from clickseg.dicom.planes import Plane


@dataclass(frozen=True, slots=True)
class PlaneShifts:
    """The position of each plane of a tilted series in the slices of an upright grid.

    Attributes:
        tilt_degrees: The angle between the normal of the planes and the line through their positions.
        first_pixels: The row and column of the grid where the first pixel of each plane is [N, 2].
        plane_shape: Rows and columns of a plane.
    """

    tilt_degrees: float
    first_pixels: IndexArray
    plane_shape: tuple[int, int]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Rows and columns of the grid, which contains all planes, with an equal margin at both ends of an axis."""
        rows, columns = self.plane_shape + self.first_pixels.min(axis=0) + self.first_pixels.max(axis=0)
        return int(rows), int(columns)

    def shift_to_grid(self, values: Float32Array, plane_of_slice: IndexArray) -> Float32Array:
        """Returns the slices of the grid [K, slice rows, slice columns].

        Pixels outside a plane have the lowest value of all planes, as padding has.

        Args:
            values: The values at the planes [N, rows, columns].
            plane_of_slice: The plane whose values each slice has [K].
        """
        slices = np.full((len(plane_of_slice), *self.slice_shape), values.min(), dtype=values.dtype)
        for index, plane in enumerate(plane_of_slice):
            slices[index][self._plane_box(plane)] = values[plane]
        return slices

    def shift_to_planes(self, labels: LabelArray) -> LabelArray:
        """Returns the labels of the pixels of each plane [N, rows, columns, ...].

        Args:
            labels: The labels of the slices of the grid at the planes [N, slice rows, slice columns, ...].
        """
        return np.stack([part[self._plane_box(index)] for index, part in enumerate(labels)])

    def _plane_box(self, index: int) -> tuple[slice, slice]:
        (row, column), (rows, columns) = self.first_pixels[index], self.plane_shape
        return slice(row, row + rows), slice(column, column + columns)


def fit_plane_shifts(
    planes: Sequence[Plane], orientation: FloatArray, tilt_degrees: float, plane_shape: tuple[int, int]
) -> PlaneShifts:
    """Returns the shifts of planes, in whole pixels of the smallest grid that contains all planes.

    Args:
        planes: Parallel planes of one pixel spacing.
        orientation: The common direction cosines of a row, then of a column.
        tilt_degrees: The angle of the tilt.
        plane_shape: Rows and columns of a plane.
    """
    positions = np.array([plane.position_mm for plane in planes])
    directions = np.stack([orientation[3:], orientation[:3]])  # along which the row and the column index increase
    pixels = (positions - positions[0]) @ directions.T / planes[0].pixel_spacing_mm
    shifts = np.rint(pixels).astype(np.intp)  # rounds halves to even, so that shifts of half a pixel have no bias
    shifts -= shifts.min(axis=0)
    # A margin of one pixel on shifted axes: clicks on the outermost pixels stay inside the grid despite the rounding.
    return PlaneShifts(tilt_degrees, shifts + shifts.any(axis=0), plane_shape)


def shifts_mm(shifts: PlaneShifts, orientation: FloatArray, pixel_spacing_mm: FloatArray) -> FloatArray:
    """Returns the vectors from the first pixel of a slice of the grid to the first pixels of the planes [N, 3].

    Args:
        shifts: The shifts of the planes.
        orientation: The direction cosines of a row, then of a column, in LPS.
        pixel_spacing_mm: The distance between rows, then between columns.
    """
    vectors: FloatArray = (shifts.first_pixels * pixel_spacing_mm) @ np.stack([orientation[3:], orientation[:3]])
    return vectors
