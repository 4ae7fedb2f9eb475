"""Clicks at a voxel or pixel, whose position in the patient is known only together with the series.

Voxel indices are those of the series as DICOM stores it, from 0: i is the column, j the row, k the slice in the order
of increasing position along the slice normal (PS3.3, C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from clickseg.clicks.click import Click, Clicks, Point, Polarity
from clickseg.core.errors import ClickError
from clickseg.dicom.planes import Plane
from clickseg.dicom.series import SeriesGeometry
from clickseg.dicom.stack import Stack


class PositionInSeries(Protocol):
    """The position of a click in a series: a ``Voxel`` or an ``ImagePoint``."""

    def position_mm(self, stack: Stack) -> Point:
        """Returns the position in LPS mm.

        Raises:
            ClickError: The position is outside the series.
        """
        ...


class Voxel(NamedTuple):
    """A voxel of a series.

    Attributes:
        i: The column.
        j: The row.
        k: The slice, in the order of increasing position along the slice normal.
    """

    i: int
    j: int
    k: int

    def __str__(self) -> str:
        """Returns the voxel indices as text, for messages."""
        return f"voxel {self.i} {self.j} {self.k}"

    def position_mm(self, stack: Stack) -> Point:
        """Returns the centre of the voxel in LPS mm."""
        rows, columns = stack.plane_shape
        shape = (columns, rows, len(stack.planes))
        if not all(0 <= index < count for index, count in zip((self.i, self.j, self.k), shape, strict=True)):
            raise ClickError(
                f"voxel {(self.i, self.j, self.k)} is outside the series, which has {shape} voxels (i, j, k)"
            )
        number = len(stack.planes) - 1 - self.k  # the stack has the opposite order
        if stack.shifts is not None:
            return _position_in_plane(stack.planes[number], self.i, self.j)
        array_index = stack.slice_coordinates[number]
        return _to_point(stack.geometry.map_indices_to_reference(np.array([[array_index, self.j, self.i]]))[0])

    @classmethod
    def from_position(cls, position_mm: Point, stack: Stack) -> Voxel:
        """Returns the voxel that contains a position: the nearest slice, and floor(x + 0.5) of column and row.

        Raises:
            ClickError: A gantry tilt was corrected, and the position is outside the pixels of the nearest slice.
        """
        index = stack.geometry.map_reference_to_indices(np.array([position_mm]))[0]
        nearest = int(np.abs(stack.slice_coordinates - index[0]).argmin())
        in_plane = index[1:]
        if stack.shifts is not None:
            in_plane = _row_and_column(stack.planes[nearest], position_mm)
            if not all(-0.5 <= value <= count - 0.5 for value, count in zip(in_plane, stack.plane_shape, strict=True)):
                raise ClickError(f"({', '.join(f'{value:.1f}' for value in position_mm)}) mm is outside the slices")
        j, i = (
            min(int(np.floor(value + 0.5)), count - 1)  # the border of the last voxel belongs to it
            for value, count in zip(in_plane, stack.plane_shape, strict=True)
        )
        return cls(i, j, len(stack.planes) - 1 - nearest)


@dataclass(frozen=True, slots=True)
class ImagePoint:
    """A point in an image, in the coordinates of SCOORD (PS3.3, C.18.6.1.2).

    Attributes:
        sop_instance_uid: The SOP Instance UID of the image.
        column: The column coordinate, from 0 at the outer edge: the centre of the first pixel is at 0.5.
        row: The row coordinate, likewise.
        frame_number: The frame of a multi-frame image, from 1; None in a single-frame image.
    """

    sop_instance_uid: str
    column: float
    row: float
    frame_number: int | None = None

    def __str__(self) -> str:
        """Returns the point as text, for messages."""
        frame = f" frame {self.frame_number}" if self.frame_number else ""
        return f"column {self.column:g} row {self.row:g} of image {self.sop_instance_uid}{frame}"

    def position_mm(self, stack: Stack) -> Point:
        """Returns the position in LPS mm, in the plane of the image."""
        for plane in stack.planes:
            if plane.instance.text("SOPInstanceUID") == self.sop_instance_uid and plane.frame_number in (
                None,
                self.frame_number or 1,
            ):
                return _position_in_plane(plane, self.column - 0.5, self.row - 0.5)
        raise ClickError(f"image {self.sop_instance_uid} is not in the series")


@dataclass(frozen=True, slots=True)
class UnresolvedClick:
    """A click whose position in the patient is not known yet.

    Attributes:
        label: The name of the clicked structure; empty if the file has no label.
        polarity: Foreground or background of the label.
        position: The voxel or image point of the click.
    """

    label: str
    polarity: Polarity
    position: PositionInSeries


@dataclass(frozen=True, slots=True)
class UnresolvedClicks:
    """The clicks of one source, before their series is known.

    Attributes:
        points: The clicks in the order in which the user made them.
        source: The name of the file.
    """

    points: tuple[UnresolvedClick, ...]
    source: str


AnyClicks: TypeAlias = Clicks | UnresolvedClicks


class VoxelClick(NamedTuple):
    """A click at a voxel, for writing file formats whose coordinates are voxel indices."""

    label: str
    polarity: Polarity
    voxel: Voxel


def to_voxel_clicks(clicks: Clicks, series: SeriesGeometry) -> tuple[VoxelClick, ...]:
    """Returns the voxel of a series that contains each click, with label and polarity."""
    return tuple(
        VoxelClick(c.label, c.polarity, Voxel.from_position(c.position_mm, series.stack)) for c in clicks.points
    )


def resolve_positions(clicks: AnyClicks, series: SeriesGeometry) -> Clicks:
    """Returns clicks with their positions in the patient.

    Args:
        clicks: Clicks of any format. Clicks in LPS mm are returned unchanged.
        series: The series of the voxels and pixels.

    Raises:
        ClickError: A voxel or an image is not in the series.
    """
    if isinstance(clicks, Clicks):
        return clicks
    points = []
    for number, click in enumerate(clicks.points, 1):
        try:
            points.append(Click(click.label, click.polarity, click.position.position_mm(series.stack)))
        except ClickError as error:
            raise ClickError(f"{clicks.source}: click {number}: {error}", hint=error.hint) from error
    files = series.files
    return Clicks(tuple(points), files.frame_of_reference_uid, files.series_uid, clicks.source)


def _position_in_plane(plane: Plane, column: float, row: float) -> Point:
    """Returns the position of a point in a plane in LPS mm; column and row count from the centre of the first pixel."""
    along_row = column * plane.pixel_spacing_mm[1] * plane.orientation[:3]
    along_column = row * plane.pixel_spacing_mm[0] * plane.orientation[3:]
    return _to_point(plane.position_mm + along_row + along_column)


def _row_and_column(plane: Plane, position_mm: Point) -> tuple[float, float]:
    """Returns the row and column, from the centre of the first pixel of a plane, of a position's foot in the plane."""
    offset = np.array(position_mm) - plane.position_mm
    row, column = offset @ plane.orientation[3:], offset @ plane.orientation[:3]
    return float(row / plane.pixel_spacing_mm[0]), float(column / plane.pixel_spacing_mm[1])


def _to_point(position_mm: np.ndarray) -> Point:
    x, y, z = (float(value) for value in position_mm)
    return x, y, z
