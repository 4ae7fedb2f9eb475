"""Clicks that name a voxel or a pixel, and have a place in the patient only with a series.

Voxels count as DICOM stores a series, from 0: i the column, j the row, k the slice in the order of increasing position
along the slice normal (PS3.3, C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from clickseg.clicks.click import Click, Clicks, Point, Polarity
from clickseg.core.errors import ClickError
from clickseg.dicom.series import CheckedSeries
from clickseg.dicom.stack import Stack


class Place(Protocol):
    """Where a click is, in the terms of its file."""

    def position_mm(self, stack: Stack) -> Point:
        """Returns the place in LPS mm.

        Raises:
            ClickError: It lies outside the series.
        """
        ...


class Voxel(NamedTuple):
    """A voxel.

    Attributes:
        i: Column.
        j: Row.
        k: Slice, in the order of increasing position along the slice normal.
    """

    i: int
    j: int
    k: int

    def __str__(self) -> str:
        """Says which voxel it is."""
        return f"voxel {self.i} {self.j} {self.k}"

    def position_mm(self, stack: Stack) -> Point:
        """Returns the centre of the voxel."""
        shape = (stack.geometry.spatial_shape[2], stack.geometry.spatial_shape[1], len(stack.planes))
        if not all(0 <= index < count for index, count in zip((self.i, self.j, self.k), shape, strict=True)):
            raise ClickError(f"voxel {(self.i, self.j, self.k)} lies outside the series of {shape} voxels (i, j, k)")
        slice_ = stack.slices[len(stack.planes) - 1 - self.k]  # slices are stacked against the normal
        return _point(stack.geometry.map_indices_to_reference(np.array([[slice_, self.j, self.i]]))[0])

    @classmethod
    def at(cls, position_mm: Point, stack: Stack) -> Voxel:
        """Returns the voxel that a place lies in: floor(x + 0.5) on each axis."""
        index = stack.geometry.map_reference_to_indices(np.array([position_mm]))[0]
        nearest = int(np.abs(stack.slices - index[0]).argmin())
        j, i = (
            min(int(np.floor(value + 0.5)), count - 1)  # half a voxel beyond the last one is still its own
            for value, count in zip(index[1:], stack.geometry.spatial_shape[1:], strict=True)
        )
        return cls(i, j, len(stack.planes) - 1 - nearest)


@dataclass(frozen=True, slots=True)
class ImagePoint:
    """A point in an image, as SCOORD gives it (PS3.3, C.18.6.1.2).

    Attributes:
        sop_instance_uid: The image.
        column: From 0 at the outer edge of the first column: the centre of the first pixel is 0.5.
        row: From 0 at the outer edge of the first row.
        frame_number: The frame, from 1, of a multi-frame image; None in a single-frame one.
    """

    sop_instance_uid: str
    column: float
    row: float
    frame_number: int | None = None

    def __str__(self) -> str:
        """Says where in which image it is."""
        frame = f" frame {self.frame_number}" if self.frame_number else ""
        return f"column {self.column:g} row {self.row:g} of image {self.sop_instance_uid}{frame}"

    def position_mm(self, stack: Stack) -> Point:
        """Returns the place in the plane of the image."""
        for plane in stack.planes:
            if plane.instance.text("SOPInstanceUID") == self.sop_instance_uid and plane.frame_number in (
                None,
                self.frame_number or 1,
            ):
                along_row = (self.column - 0.5) * plane.pixel_spacing_mm[1] * plane.orientation[:3]
                along_column = (self.row - 0.5) * plane.pixel_spacing_mm[0] * plane.orientation[3:]
                return _point(plane.position_mm + along_row + along_column)
        raise ClickError(f"image {self.sop_instance_uid} is not in the series")


@dataclass(frozen=True, slots=True)
class PendingClick:
    """One click without a place in the patient.

    Attributes:
        label: The name of what was clicked; empty where the file gives none.
        polarity: Foreground or background of that label.
        place: Where it is.
    """

    label: str
    polarity: Polarity
    place: Place


@dataclass(frozen=True, slots=True)
class PendingClicks:
    """The clicks of one source, for whichever series it is used with.

    Attributes:
        points: The clicks in the order in which they were made.
        source: The file they came from.
    """

    points: tuple[PendingClick, ...]
    source: str


AnyClicks: TypeAlias = Clicks | PendingClicks


class VoxelClick(NamedTuple):
    """A click as the forms write it that know voxels only."""

    label: str
    polarity: Polarity
    voxel: Voxel


def at_voxels(clicks: Clicks, series: CheckedSeries) -> tuple[VoxelClick, ...]:
    """Returns clicks at the voxels of a series that they lie in."""
    return tuple(VoxelClick(c.label, c.polarity, Voxel.at(c.position_mm, series.stack)) for c in clicks.points)


def placed(clicks: AnyClicks, series: CheckedSeries) -> Clicks:
    """Returns clicks with their places in the patient.

    Args:
        clicks: Clicks of any form; those that have a place are returned as they are.
        series: The series that voxels and pixels are those of.

    Raises:
        ClickError: A voxel or an image is not in the series.
    """
    if isinstance(clicks, Clicks):
        return clicks
    points = []
    for number, click in enumerate(clicks.points, 1):
        try:
            points.append(Click(click.label, click.polarity, click.place.position_mm(series.stack)))
        except ClickError as error:
            raise ClickError(f"{clicks.source}: click {number}: {error}", hint=error.hint) from error
    candidate = series.candidate
    return Clicks(tuple(points), candidate.frame_of_reference_uid, candidate.series_uid, clicks.source)


def _point(position_mm: np.ndarray) -> Point:
    x, y, z = (float(value) for value in position_mm)
    return x, y, z
